using System.Runtime.InteropServices;

namespace Forgetting.Cli;

/// <summary>
/// Turns the first Ctrl-C (or SIGTERM, or SIGUSR1) into a request to stop after the step that is running, so that a checkpoint can be
/// written; a second Ctrl-C ends the process at once.
/// </summary>
internal sealed class Interruption : IDisposable
{
    /// <summary>What is said where what runs has steps.</summary>
    public const string AfterStep = "stopping after this step";

    private readonly CancellationTokenSource _source = new();
    private readonly PosixSignalRegistration[] _registrations;
    private readonly string? _what;
    private readonly Action? _again;

    /// <summary>Listens for signals.</summary>
    /// <param name="what">What to say at the first; null for nothing.</param>
    /// <param name="again">What to do at the second, before the process ends.</param>
    public Interruption(string? what = AfterStep, Action? again = null)
    {
        _what = what;
        _again = again;
        _registrations =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle),
            .. User is { } signal ? [PosixSignalRegistration.Create(signal, Handle)] : Array.Empty<PosixSignalRegistration>(),
        ];
    }

    /// <summary>
    /// SIGUSR1 as this system numbers it, null where there is none: launchers pass it on to all ranks where they answer Ctrl-C by ending
    /// them, and batch systems send it before the time is up.
    /// </summary>
    public static PosixSignal? User =>
        OperatingSystem.IsLinux() ? (PosixSignal)10 : OperatingSystem.IsMacOS() ? (PosixSignal)30 : null;

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
        {
            _again?.Invoke();
            return;
        }

        context.Cancel = true;
        if (_what != null)
            Console.Error.WriteLine($"{_what}; press Ctrl-C again to end at once");

        _source.Cancel();
    }
}
