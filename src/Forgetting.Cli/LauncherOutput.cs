using System.Text.RegularExpressions;

namespace Forgetting.Cli;

/// <summary>Tells what ranks print from what their launcher says, which comes behind a ruler after it.</summary>
/// <param name="target">Gets the lines of the ranks.</param>
internal sealed partial class LauncherOutput(TextWriter target)
{
    private int _blank; // lines that belong to what comes next
    private bool _ruled;

    /// <summary>Takes a line; null at the end.</summary>
    public void Take(string? line)
    {
        if (line is null || ForwardingPattern().IsMatch(line))
            return;

        _ruled |= RulerPattern().IsMatch(line);
        if (_ruled)
            return;

        if (line.Length == 0)
        {
            _blank++;
            return;
        }

        for (; _blank > 0; _blank--)
        {
            target.WriteLine();
        }

        target.WriteLine(line);
    }

    [GeneratedRegex("^(-{40,}|={40,})$")]
    private static partial Regex RulerPattern();

    [GeneratedRegex(@"^\S*mpi\S*: Forwarding signal \d+ to job$")]
    private static partial Regex ForwardingPattern();
}
