using System.Globalization;
using Forgetting.Core;

namespace Forgetting.Backends;

/// <summary>A device as <c>--device</c> names it.</summary>
/// <param name="Kind">auto, cpu, cuda, cuda-emu or cuda-ptx.</param>
/// <param name="Ordinal">Number of the card among those that the driver shows, for cuda.</param>
internal readonly record struct DeviceName(string Kind, int Ordinal = 0)
{
    /// <summary>What there is to name; N is the number of a card.</summary>
    public const string Expected = "auto, cpu, cuda, cuda:N, cuda-emu or cuda-ptx";

    /// <summary>The kernels compiled for this processor.</summary>
    public const string Emulation = "cuda-emu";

    /// <summary>The kernels as compiled for the card, interpreted.</summary>
    public const string Interpreter = "cuda-ptx";

    private const string CardPrefix = "cuda:";

    /// <summary>Reads a name.</summary>
    /// <exception cref="UserException">It names no device.</exception>
    public static DeviceName Parse(string text) =>
        TryParse(text, out DeviceName name) ? name : throw new UserException($"device is \"{text}\", expected {Expected}");

    /// <summary>Reads a name, where it names a device.</summary>
    public static bool TryParse(string text, out DeviceName name)
    {
        int ordinal = 0;
        bool numbered = text.StartsWith(CardPrefix, StringComparison.Ordinal)
            && int.TryParse(text.AsSpan(CardPrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out ordinal);
        name = numbered ? new DeviceName("cuda", ordinal) : new DeviceName(text);
        return numbered || text is "auto" or "cpu" or "cuda" or Emulation or Interpreter;
    }

    /// <summary>Whether it takes the place of a card: no driver of NVIDIA's is asked.</summary>
    public bool IsEmulated => Kind is Emulation or Interpreter;

    /// <inheritdoc/>
    public override string ToString() => Ordinal == 0 ? Kind : string.Create(CultureInfo.InvariantCulture, $"{CardPrefix}{Ordinal}");
}
