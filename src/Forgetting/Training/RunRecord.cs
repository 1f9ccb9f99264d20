using Forgetting.IO;

namespace Forgetting.Training;

/// <summary>The file <c>run.yaml</c> of a run: every setting, resolved.</summary>
internal static class RunRecord
{
    private const string FileName = "run.yaml";

    /// <summary>Refuses a folder that holds a run, unless it is to be continued and began with the same settings.</summary>
    /// <exception cref="UserException">It holds a run, or one of other settings; names the first that differs.</exception>
    public static void Check(TrainingOptions options, bool resume)
    {
        string path = Path.Combine(options.Out, FileName);
        if (!File.Exists(path))
            return;

        if (!resume)
            throw new UserException($"{options.Out}: holds a run; continue it with --resume or choose another folder");

        TrainingCheckpoint.CheckSettings(path, Recipe.Values(Recipe.ReadRun(path)), Recipe.Values(options));
    }

    /// <summary>The settings of the run that a folder holds; null where it holds none.</summary>
    /// <exception cref="UserException">The file is malformed.</exception>
    public static TrainingOptions? Read(string folder) =>
        Path.Combine(folder, FileName) is var path && File.Exists(path) ? Recipe.ReadRun(path) : null;

    /// <summary>Writes the file.</summary>
    /// <exception cref="UserException">Not writable or disk full.</exception>
    public static void Write(TrainingOptions options) => AtomicFile.WriteText(Path.Combine(options.Out, FileName), Recipe.Write(options));
}
