using Forgetting.Core;
using Forgetting.Reports;
using Forgetting.Runs;

namespace Forgetting.Server;

/// <summary>A part of the page.</summary>
/// <param name="Id">Its place in the page.</param>
/// <param name="Html">What it shows.</param>
internal readonly record struct PagePart(string Id, string Html);

/// <summary>
/// The runs of some folders, and the page that shows them. A folder that is or may become a run's is that run; any other stands for the
/// runs below it, also those that begin later.
/// </summary>
internal sealed class WatchedRuns
{
    private readonly string[] _folders;
    private readonly Lock _gate = new();
    private readonly OrderedDictionary<string, (LiveRun Run, string Html)> _runs = new(StringComparer.Ordinal);
    private string _together = "";

    /// <param name="folders">The folders; each must be there, or may come to be where <paramref name="mayCome"/> says so.</param>
    /// <exception cref="UserException">A folder is not there.</exception>
    public WatchedRuns(IReadOnlyList<string> folders, bool mayCome = false)
    {
        if (!mayCome && folders.FirstOrDefault(folder => !Directory.Exists(folder)) is { } missing)
            throw new UserException($"{missing}: no such folder, expected one of a run or of several");

        _folders = [.. folders.Select(Path.TrimEndingDirectorySeparator).Distinct()];
        Update();
    }

    /// <summary>Reads what is new.</summary>
    /// <returns>The page's parts, in their order.</returns>
    public IReadOnlyList<PagePart> Update()
    {
        lock (_gate)
        {
            foreach (string folder in _folders.SelectMany(Found).Where(folder => !_runs.ContainsKey(folder)))
            {
                _runs.Add(folder, (new LiveRun(folder), ""));
            }

            // A page of no run says that it waits; one that was waited for in vain is no more than its folder's name.
            DateTime now = DateTime.UtcNow;
            bool isNew = false;
            for (int i = 0; i < _runs.Count; i++)
            {
                (string folder, (LiveRun run, string html)) = _runs.GetAt(i);
                if (!run.Update() && html.Length > 0)
                    continue;

                isNew = true;
                _runs.SetAt(i, (run, LiveReport.Run(folder, $"run-{i}", run, run.HasReport ? $"/report/{i}" : null, now)));
            }

            if (isNew)
                _together = LiveReport.Together([.. _runs.Select(run => (run.Key, run.Value.Run))], now);

            return [new PagePart("together", _together), .. _runs.Select((run, i) => new PagePart($"run-{i}", run.Value.Html))];
        }
    }

    /// <summary>File of the report that a run has left; null where there is none.</summary>
    /// <param name="number">The run's place in the page.</param>
    public string? ReportOf(int number)
    {
        lock (_gate)
        {
            return number >= 0 && number < _runs.Count && _runs.GetAt(number).Value.Run is { HasReport: true } run
                ? run.ReportPath
                : null;
        }
    }

    private static IEnumerable<string> Found(string folder)
    {
        if (ComparedRun.IsIn(folder))
            return [folder];

        string[] below = [.. Below(folder, depth: 3)];
        return below.Length > 0 ? below : [folder];
    }

    private static IEnumerable<string> Below(string folder, int depth)
    {
        if (depth == 0 || !Directory.Exists(folder))
            yield break;

        foreach (string inner in Directory.EnumerateDirectories(folder).Order(StringComparer.Ordinal))
        {
            if (ComparedRun.IsIn(inner))
            {
                yield return inner;
            }
            else if (new DirectoryInfo(inner).LinkTarget is null)
            {
                foreach (string found in Below(inner, depth - 1))
                {
                    yield return found;
                }
            }
        }
    }
}
