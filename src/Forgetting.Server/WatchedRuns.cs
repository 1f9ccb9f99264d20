using System.Security.Cryptography;
using System.Text;
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
    /// <summary>What addresses of reports begin with.</summary>
    public const string ReportPath = "/report/";

    private readonly string[] _folders;
    private readonly Lock _gate = new();
    private readonly OrderedDictionary<string, WatchedRun> _runs = new(StringComparer.Ordinal);
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
            string[] found = [.. _folders.SelectMany(Found)];
            foreach (string folder in found.Where(folder => !_runs.ContainsKey(folder)))
            {
                _runs.Add(folder, new WatchedRun(folder));
            }

            // A folder that was waited for, and turned out to hold runs; or a run that was deleted.
            bool isNew = false;
            foreach (string folder in _runs.Keys.Except(found).Where(folder => _runs[folder].Run.State == RunState.Awaited).ToArray())
            {
                isNew |= _runs.Remove(folder);
            }

            // A page of no run says that it waits; one that was waited for in vain is no more than its folder's name.
            DateTime now = DateTime.UtcNow;
            foreach ((string folder, WatchedRun watched) in _runs)
            {
                if (!watched.Run.Update() && watched.Html.Length > 0)
                    continue;

                isNew = true;
                watched.Html = LiveReport.Run(
                    folder, watched.Id, watched.Run, watched.Run.HasReport ? $"{ReportPath}{watched.Id}" : null, now);
            }

            if (isNew)
                _together = LiveReport.Together([.. _runs.Select(run => (run.Key, run.Value.Run))], now);

            return [new PagePart("together", _together), .. _runs.Values.Select(run => new PagePart(run.Id, run.Html))];
        }
    }

    /// <summary>File of the report that a run has left; null where there is none.</summary>
    /// <param name="id">The run's place in the page.</param>
    public string? ReportOf(string id)
    {
        lock (_gate)
        {
            return _runs.Values.FirstOrDefault(run => run.Id == id)?.Run is { HasReport: true } run ? run.ReportPath : null;
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

    // The same folder has the same place in the page, whichever server shows it and whatever else there is.
    private sealed class WatchedRun(string folder)
    {
        public string Id { get; } =
            "run-" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Path.GetFullPath(folder))))[..12];

        public LiveRun Run { get; } = new(folder);

        public string Html { get; set; } = "";
    }
}
