
namespace Forgetting.Checkpoints;

/// <summary>What is lost of changes to weights when these are rounded to a file's type.</summary>
internal sealed class UpdateRounding
{
    private double _update, _error;

    /// <summary>‖rounding error‖ / ‖change‖ over all elements that changed; 0 where none did.</summary>
    public double Share => _update == 0 ? 0 : Math.Sqrt(_error / _update);

    /// <summary>Counts one element.</summary>
    /// <param name="change">Exact new value − old value.</param>
    /// <param name="error">Written value − exact new value.</param>
    public void Add(double change, double error)
    {
        _update += change * change;
        _error += error * error;
    }
}
