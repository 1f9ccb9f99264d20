using System.Globalization;
using System.Reflection;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Text.Tokenizers;
using YamlDotNet.RepresentationModel;

namespace Forgetting.Training;

/// <summary>A file that a run reads.</summary>
/// <param name="Setting">Name of the setting that names it, or its folder.</param>
/// <param name="File">Its name in the folder that the setting names; null where the setting names the file itself.</param>
/// <param name="Path">What the setting names, as an absolute path.</param>
/// <param name="Relative">The same path seen from the run's folder: it holds where both were moved together.</param>
/// <param name="Sha256">SHA-256 of the file, hexadecimal.</param>
internal sealed record RunInput(string Setting, string? File, string Path, string Relative, string Sha256)
{
    /// <summary>What errors call it.</summary>
    internal string Name => File is null ? $"{Setting} {Path}" : $"{Setting} {System.IO.Path.Combine(Path, File)}";
}

/// <summary>What a run came from: program and inputs.</summary>
internal sealed record Provenance
{
    // Settings that name what a run learns from. What it is evaluated on decides which model is the best, but not what is learnt.
    private static readonly string[] s_inputs =
    [
        "model", "adapter", "data", "valid-data", "reference", "reference-data", "scores", "forget-prompts", "elicited", "learned",
        "fisher", "forget-confidence", "forget-data", "retain-data", "template",
    ];

    // Of these, those whose folders hold shards of data.
    private static readonly string[] s_data = ["data", "valid-data", "reference-data", "forget-prompts", "forget-data", "retain-data"];

    /// <summary>Version of the program.</summary>
    public required string Version { get; init; }

    /// <summary>Commit that the program was built from; null where it was built outside a repository.</summary>
    public required string? Commit { get; init; }

    /// <summary>When the run began, UTC.</summary>
    public required DateTime Began { get; init; }

    /// <summary>The files that the run reads, in the order of settings.</summary>
    public required IReadOnlyList<RunInput> Inputs { get; init; }

    /// <summary>Version of this program, and the commit that it was built from, if that is known.</summary>
    internal static (string Version, string? Commit) Program
    {
        get
        {
            string built =
                typeof(Provenance).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";
            string[] parts = built.Split('+', 2);
            return (parts[0], parts.ElementAtOrDefault(1));
        }
    }

    /// <summary>What a run of these settings would come from now.</summary>
    /// <exception cref="UserException">An input cannot be read.</exception>
    public static Provenance From(TrainingOptions options)
    {
        (string version, string? commit) = Program;
        return new()
        {
            Version = version,
            Commit = commit,
            Began = DateTime.UtcNow,
            Inputs = [.. s_inputs.SelectMany(name => Recipe.Find(name)!.Paths(options).SelectMany(path => Files(name, path, options.Out)))],
        };
    }

    /// <inheritdoc/>
    public bool Equals(Provenance? other) =>
        other != null && Version == other.Version && Commit == other.Commit && Began == other.Began && Inputs.SequenceEqual(other.Inputs);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Version, Commit, Began, Inputs.Count);

    /// <summary>Adds the files of a setting to a fingerprint, by name.</summary>
    internal Fingerprint AddTo(Fingerprint fingerprint, params ReadOnlySpan<string> settings)
    {
        foreach (string setting in settings)
        {
            foreach (RunInput input in Inputs.Where(i => i.Setting == setting))
            {
                fingerprint.Add(input.File is null ? setting : $"{setting} {input.File}", input.Sha256);
            }
        }

        return fingerprint;
    }

    /// <summary>Refuses to continue a run with other inputs.</summary>
    /// <param name="folder">The run's folder, for the error.</param>
    /// <param name="now">What there is now.</param>
    /// <exception cref="UserException">An input is not what it was; names the first.</exception>
    internal void CheckSame(string folder, Provenance now)
    {
        foreach (string setting in s_inputs)
        {
            RunInput[] began = [.. Inputs.Where(i => i.Setting == setting)], found = [.. now.Inputs.Where(i => i.Setting == setting)];
            string? what = began.Length == 0 && found.Length > 0 ? $"{setting} is given, and was not when the run began"
                : found.Length == 0 && began.Length > 0 ? $"{setting} is not given, and was when the run began"
                : Difference(
                    setting, [.. began.GroupBy(i => i.Path, (_, of) => of.ToArray())],
                    [.. found.GroupBy(i => i.Path, (_, of) => of.ToArray())]);
            if (what != null)
                throw new UserException($"{folder}: {what}; a run resumes with what it began with");
        }
    }

    internal YamlMappingNode ToYaml()
    {
        var inputs = new YamlSequenceNode();
        foreach (RunInput input in Inputs)
        {
            var node = new YamlMappingNode { { "setting", input.Setting }, { "path", input.Path }, { "relative", input.Relative } };
            if (input.File != null)
                node.Add("file", input.File);

            node.Add("sha256", input.Sha256);
            inputs.Add(node);
        }

        var mapping = new YamlMappingNode { { "version", Version } };
        if (Commit != null)
            mapping.Add("commit", Commit);

        mapping.Add("began", Began.ToString("O", CultureInfo.InvariantCulture));
        mapping.Add("inputs", inputs);
        return mapping;
    }

    /// <summary>Reads what <see cref="ToYaml"/> wrote.</summary>
    /// <param name="place">What errors begin with.</param>
    /// <exception cref="UserException">It is something else.</exception>
    internal static Provenance FromYaml(YamlNode node, string place)
    {
        try
        {
            return new()
            {
                Version = Text(node, "version")!,
                Commit = Text(node, "commit"),
                Began = DateTime.Parse(Text(node, "began")!, CultureInfo.InvariantCulture, DateTimeStyles.RoundtripKind),
                Inputs =
                [
                    .. from i in (YamlSequenceNode)node["inputs"]
                       select new RunInput(
                           Text(i, "setting")!, Text(i, "file"), Text(i, "path")!, Text(i, "relative")!, Text(i, "sha256")!),
                ],
            };
        }
        catch (Exception error) when (error is KeyNotFoundException or InvalidCastException or FormatException or ArgumentException)
        {
            throw new UserException(
                $"{place}: {Recipe.ProvenanceKey} is not as a run writes it: expected version, began and inputs", error);
        }
    }

    private static string? Text(YamlNode node, string key) =>
        ((YamlMappingNode)node).Children.TryGetValue(key, out YamlNode? value) ? ((YamlScalarNode)value).Value : null;

    private static IEnumerable<RunInput> Files(string setting, string path, string folder)
    {
        if (s_data.Contains(setting))
        {
            string data = System.IO.Path.GetFullPath(path);
            foreach (string shard in DataFolder.Files(data))
            {
                yield return File(
                    data, Directory.Exists(data) ? System.IO.Path.GetRelativePath(data, shard).Replace('\\', '/') : null,
                    FileHash.Of(shard));
            }

            yield break;
        }

        string full = System.IO.Path.GetFullPath(ModelPath.Resolve(path));
        foreach ((string name, string hash) in FileHash.OfModel(full))
        {
            yield return File(full, Directory.Exists(full) ? name : null, hash);
        }

        // The tokenizer of a model that is a file lies beside it.
        if (setting == "model" && System.IO.File.Exists(full))
        {
            using Checkpoint model = Checkpoint.Open(full);
            IEnumerable<string> files = model.TokenizerPath is not { } tokenizer || tokenizer == full ? []
                : Directory.Exists(tokenizer) ? TokenizerFolder.Files(tokenizer) : [tokenizer];
            foreach (string file in files)
            {
                yield return File(System.IO.Path.GetDirectoryName(file)!, System.IO.Path.GetFileName(file), FileHash.Of(file));
            }
        }

        RunInput File(string place, string? name, string hash) =>
            new(setting, name, place, System.IO.Path.GetRelativePath(System.IO.Path.GetFullPath(folder), place).Replace('\\', '/'), hash);
    }

    // Files and folders in the order in which the setting names them.
    private static string? Difference(string setting, RunInput[][] began, RunInput[][] found) => began.Length != found.Length
        ? $"{setting} names {found.Length} files, and {began.Length} when the run began"
        : began.Zip(found).Select(pair => ChangedFile(pair.First, pair.Second)).FirstOrDefault(what => what != null);

    private static string? ChangedFile(RunInput[] began, RunInput[] found)
    {
        foreach (RunInput then in began)
        {
            RunInput? now = Array.Find(found, i => i.File == then.File);
            if (now is null)
                return $"{then.Name} is gone";

            if (now.Sha256 != then.Sha256)
                return Changed(then, now);
        }

        return Array.Find(found, i => !began.Any(b => b.File == i.File)) is { } added ? $"{added.Name} is new since the run began" : null;
    }

    private static string Changed(RunInput then, RunInput now) =>
        $"{now.Name} has changed since the run began (sha256 {then.Sha256[..12]}… then, {now.Sha256[..12]}… now)";
}
