using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Training;
using YamlDotNet.RepresentationModel;

namespace Forgetting.Runs;

/// <summary>The file <c>run.yaml</c> of a run: every setting, resolved, with absolute paths, and what the run came from. As a recipe it
/// repeats the run, from any folder.</summary>
/// <param name="Options">The settings.</param>
/// <param name="Provenance">Program and inputs.</param>
internal sealed record RunRecord(TrainingOptions Options, Provenance Provenance)
{
    private const string ChecksumKey = "settings";

    /// <summary>Reads the file of a run.</summary>
    /// <returns>Null where the folder holds none.</returns>
    /// <exception cref="UserException">The file is malformed, or not as the run wrote it.</exception>
    public static RunRecord? Read(string folder)
    {
        string path = Path.Combine(folder, RunFolder.RecordName);
        if (!File.Exists(path))
            return null;

        YamlMappingNode mapping = Recipe.Load(path);
        if (!mapping.Children.TryGetValue(Recipe.ProvenanceKey, out YamlNode? provenance)
            || provenance is not YamlMappingNode node || !node.Children.ContainsKey(ChecksumKey))
        {
            throw new UserException($"{path}: has no {Recipe.ProvenanceKey}; a run of an earlier version does not resume");
        }

        if ((node[ChecksumKey] as YamlScalarNode)?.Value != Checksum(mapping))
        {
            throw new UserException(
                $"{path}: was changed since the run wrote it; give settings that are to change as options beside --resume");
        }

        return new RunRecord(Recipe.ReadRun(path) with { Out = folder }, Provenance.FromYaml(provenance, path));
    }

    /// <summary>Refuses a folder that holds a run, unless it is to be continued and began with the same settings.</summary>
    /// <param name="folder">The run's folder.</param>
    /// <param name="options">Settings to go on with.</param>
    /// <param name="resume">Whether to continue.</param>
    /// <returns>What the run began with; null for a new one.</returns>
    /// <exception cref="UserException">It holds a run, or one of other settings; names the first that differs.</exception>
    public static RunRecord? Check(RunFolder folder, TrainingOptions options, bool resume)
    {
        folder.CheckResults();
        if (!folder.HasRun)
            return null;

        if (!resume)
            throw new UserException($"{folder.FolderPath}: holds a run; continue it with --resume or choose another folder");

        RunRecord began = Read(folder.FolderPath)!;
        string path = Path.Combine(folder.FolderPath, RunFolder.RecordName);
        TrainingCheckpoint.CheckSettings(path, Recipe.Values(began.Options), Recipe.Values(options));
        return began;
    }

    /// <summary>Whether the settings ask for more (or fewer) steps than the run began with.</summary>
    public bool HasOtherLength(TrainingOptions options) =>
        (Options.Schedule.Epochs, Options.Schedule.Steps) != (options.Schedule.Epochs, options.Schedule.Steps);

    /// <summary>Refuses another length than the run began with, unless the run is finished and is to go on.</summary>
    /// <param name="finished">Whether the run has come to its end.</param>
    /// <param name="then">Steps it began with.</param>
    /// <param name="now">Steps it is to have.</param>
    /// <exception cref="UserException">It is not finished, or would not go on.</exception>
    public void CheckLength(TrainingOptions options, bool finished, int then, int now)
    {
        if (!HasOtherLength(options))
            return;

        string name = Options.Schedule.Steps != options.Schedule.Steps ? "steps" : "epochs";
        (string was, string wanted) = (Recipe.Find(name)!.Read(Options), Recipe.Find(name)!.Read(options));
        string differs = $"{options.Out}: {name} was \"{was}\", found \"{wanted}\"";
        if (!finished)
        {
            throw new UserException(
                $"{differs}; a run resumes with the settings it began with, and goes on for longer once it is finished");
        }

        if (now <= then)
        {
            string cure = name == "epochs" && options.Schedule.Steps != null ? "more steps, which decide" : "more";
            throw new UserException($"{differs}, which makes {now} steps where the run has {then}: expected {cure}");
        }
    }

    /// <summary>Begins a run or goes on with one, whose inputs must be what they were, under whatever name. From here on there is a run
    /// in the folder.</summary>
    /// <param name="folder">The run's folder.</param>
    /// <param name="options">The settings.</param>
    /// <param name="began">What <see cref="Check"/> found.</param>
    /// <param name="provenance">What it comes from now.</param>
    /// <exception cref="UserException">An input has changed, the folder is in use, or it cannot be written.</exception>
    public static RunRecord Begin(
        RunFolder folder, TrainingOptions options, RunRecord? began, Provenance provenance, ITrainingObserver? observer)
    {
        if (began is null)
        {
            // It may have come to be since it was looked at.
            folder.Hold();
            Check(folder, options, resume: false);
        }
        else
        {
            began.Provenance.CheckSame(options.Out, provenance);
            if (began.Provenance.Version != provenance.Version)
                observer?.StageBegan($"the run began with version {began.Provenance.Version}; this is {provenance.Version}");

            provenance =
                provenance with { Version = began.Provenance.Version, Commit = began.Provenance.Commit, Began = began.Provenance.Began };

            // A finished run has a summary; one that is to go on is not finished any more.
            if (began.HasOtherLength(options))
                File.Delete(Path.Combine(options.Out, RunFolder.SummaryName));
        }

        var record = new RunRecord(options, provenance);
        record.Write();
        return record;
    }

    private void Write() => AtomicFile.WriteText(Path.Combine(Options.Out, RunFolder.RecordName), ToYaml());

    private string ToYaml()
    {
        YamlMappingNode mapping = Recipe.ToYaml(Recipe.MapPaths(Options, Path.GetFullPath));
        YamlMappingNode provenance = Provenance.ToYaml();
        provenance.Add(ChecksumKey, Checksum(mapping));
        mapping.Add(Recipe.ProvenanceKey, provenance);
        return YamlFile.Write(mapping);
    }

    // Of all settings but paths, whose files have checksums of their own.
    private static string Checksum(YamlMappingNode mapping) => Fingerprint.Digest(mapping
        .Where(pair => pair is { Key: YamlScalarNode key, Value: YamlScalarNode } && Recipe.Find(key.Value!) is { IsPath: false })
        .ToDictionary(pair => ((YamlScalarNode)pair.Key).Value!, pair => ((YamlScalarNode)pair.Value).Value ?? ""));
}
