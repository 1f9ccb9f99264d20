using System.Runtime.InteropServices;

namespace Forgetting.Cli;

/// <summary>
/// Turns the first Ctrl-C (or SIGTERM) into a request to stop after the step that is running, so that a checkpoint can be written;
/// a second Ctrl-C ends the process at once.
/// </summary>
internal sealed class Interruption : IDisposable
{
    private readonly CancellationTokenSource _source = new();
    private readonly PosixSignalRegistration[] _registrations;
    private readonly string _what;

    /// <summary>Listens for signals.</summary>
    /// <param name="what">What to say at the first.</param>
    public Interruption(string what = "stopping after this step")
    {
        _what = what;
        _registrations =
            [PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle)];
    }

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => _source.Token;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }

        _source.Dispose();
    }

    private void Handle(PosixSignalContext context)
    {
        if (_source.IsCancellationRequested)
            return;

        context.Cancel = true;
        Console.Error.WriteLine($"{_what}; press Ctrl-C again to end at once");
        _source.Cancel();
    }
}
