using Forgetting.Core;
using Forgetting.Evaluation.Readers;
using Forgetting.IO;

namespace Forgetting.Evaluation;

/// <summary>What a task asks of the model, by the names of lm-evaluation-harness.</summary>
internal enum OutputType
{
    /// <summary>Log-likelihood of each choice.</summary>
    MultipleChoice,

    /// <summary>Log-likelihood of the target, and whether it is what greedy generation would give.</summary>
    LogLikelihood,

    /// <summary>Log-likelihood of whole texts.</summary>
    LogLikelihoodRolling,

    /// <summary>Generation until a stop string.</summary>
    GenerateUntil,
}

/// <summary>
/// How the answer is taken out of a generated text: the match at <paramref name="Select"/> (−1 for the last) of a pattern.
/// </summary>
internal sealed record AnswerFilter(string Name, AnswerPattern Pattern, int Select);

/// <summary>How examples are chosen.</summary>
/// <param name="FirstN">The first ones in place of random ones.</param>
/// <param name="By">Field in which examples are like the item, such as its language; random examples are then drawn once for each of its
/// values. Null for any examples.</param>
internal sealed record FewShotChoice(bool FirstN, string? By);

/// <summary>A benchmark as its YAML file defines it.</summary>
internal sealed record EvaluationTask
{
    /// <summary>Name on the command line and in results.</summary>
    public required string Name { get; init; }

    /// <summary>Folder below the data folder; its files may also lie in the data folder itself.</summary>
    public required string Folder { get; init; }

    /// <summary>File names to look for, in order of preference; may hold * and ?.</summary>
    public required IReadOnlyList<string> Files { get; init; }

    /// <summary>File names of the documents that examples are drawn from; empty for the task's own.</summary>
    public IReadOnlyList<string> FewShotFiles { get; init; } = [];

    /// <summary>Read all of <see cref="Files"/>, or of <see cref="FewShotFiles"/>, and not the first one that is there.</summary>
    public bool AllFiles { get; init; }

    /// <summary>Reads a file.</summary>
    public required DocumentReader Reader { get; init; }

    /// <summary>Fields that documents must have, for formats that do not fix them.</summary>
    public IReadOnlyDictionary<string, FieldType> Fields { get; init; } = new Dictionary<string, FieldType>();

    /// <summary>Which documents count: those for which it gives "True"; null for all.</summary>
    public PromptTemplate? Where { get; init; }

    /// <summary>What is asked.</summary>
    public required OutputType OutputType { get; init; }

    /// <summary>What stands before examples and question; null for nothing.</summary>
    public PromptTemplate? Description { get; init; }

    /// <summary>Prompt.</summary>
    public required PromptTemplate DocToText { get; init; }

    /// <summary>Target; for multiple choice the index of the right choice.</summary>
    public required PromptTemplate DocToTarget { get; init; }

    /// <summary>Field with the right answers to a question, a list; null where <see cref="DocToTarget"/> is the only one.</summary>
    public string? References { get; init; }

    /// <summary>Field with wrong answers, a list; null where no metric needs them.</summary>
    public string? FalseReferences { get; init; }

    /// <summary>The choices as templates; empty where <see cref="ChoiceFields"/> names fields.</summary>
    public IReadOnlyList<PromptTemplate> Choices { get; init; } = [];

    /// <summary>Fields that hold the choices, each a string or a list of them.</summary>
    public IReadOnlyList<string> ChoiceFields { get; init; } = [];

    /// <summary>The token that ends a text is part of every continuation.</summary>
    public bool AppendEos { get; init; }

    /// <summary>
    /// Between prompt and answer of an example, and between prompt and choices; a scored target of its own has
    /// none, as in lm-evaluation-harness.
    /// </summary>
    public string TargetDelimiter { get; init; } = " ";

    /// <summary>Between examples.</summary>
    public string FewShotDelimiter { get; init; } = "\n\n";

    /// <summary>Examples before the question.</summary>
    public int Shots { get; init; }

    /// <summary>How examples are chosen.</summary>
    public FewShotChoice FewShotChoice { get; init; } = new(FirstN: false, By: null);

    /// <summary>Names of what is measured.</summary>
    public required IReadOnlyList<string> Metrics { get; init; }

    /// <summary>Field by which results are also given in groups, such as the language; null for none.</summary>
    public string? GroupBy { get; init; }

    /// <summary>The result is the mean of the groups' means and not that of all items.</summary>
    public bool MacroAverage { get; init; }

    /// <summary>Strings that end a generation.</summary>
    public IReadOnlyList<string> Until { get; init; } = [];

    /// <summary>Temperature of a generation; 0 for the most probable tokens.</summary>
    public double Temperature { get; init; }

    /// <summary>Generations for each prompt.</summary>
    public int Repeats { get; init; } = 1;

    /// <summary>Most tokens of a generation.</summary>
    public int MaxNewTokens { get; init; } = 256;

    /// <summary>Ways to take the answer from a generated text; empty for the text as it is.</summary>
    public IReadOnlyList<AnswerFilter> Filters { get; init; } = [];

    /// <summary>What is removed from answer and target before they are compared.</summary>
    public IReadOnlyList<AnswerPattern> Ignored { get; init; } = [];

    /// <summary>The YAML, for results.</summary>
    public required IReadOnlyDictionary<string, object> Source { get; init; }

    /// <summary>
    /// A task of a family whose name ends in a star: what the name has in the star's place is put in its place in the names of files too.
    /// </summary>
    public EvaluationTask Member(string name)
    {
        PlainName.Check(name, "the task");
        string member = name[(Name.Length - 1)..];
        return this with
        {
            Name = name,
            Files = [.. Files.Select(file => file.Replace("*", member, StringComparison.Ordinal))],
            FewShotFiles = [.. FewShotFiles.Select(file => file.Replace("*", member, StringComparison.Ordinal))],
            Source = new Dictionary<string, object>(Source) { ["task"] = name },
        };
    }

    /// <summary>Finds and reads the documents.</summary>
    /// <exception cref="UserException">There is no such file, which says where it was looked for, or it is malformed.</exception>
    public IReadOnlyList<TaskDocument> Load(string dataFolder) => Load(dataFolder, Files);

    /// <summary>Finds and reads the documents that examples are drawn from, or null where they are the task's own.</summary>
    /// <exception cref="UserException">See <see cref="Load(string)"/>.</exception>
    public IReadOnlyList<TaskDocument>? LoadFewShot(string dataFolder) =>
        FewShotFiles.Count > 0 && !File.Exists(dataFolder) ? Load(dataFolder, FewShotFiles) : null;

    private TaskDocument[] Load(string dataFolder, IReadOnlyList<string> names)
    {
        IReadOnlyList<string> paths = Find(dataFolder, names);
        TaskDocument[] documents =
            [.. paths.SelectMany(path => Reader(path, Fields)).Where(document => Where is null || Where.Render(document) == "True")];
        return documents.Length > 0
            ? documents
            : throw new UserException($"{string.Join(", ", paths)}: no items; expected those of {Name}");
    }

    private IReadOnlyList<string> Find(string dataFolder, IReadOnlyList<string> names)
    {
        if (File.Exists(dataFolder))
            return [dataFolder];

        if (!Directory.Exists(dataFolder))
            throw new UserException($"{dataFolder}: no such folder: expected the benchmarks' files");

        List<string> paths = [];
        foreach (string name in names)
        {
            string[] found = Find(dataFolder, name);
            if (AllFiles && found.Length == 0)
                throw Missing([name]);

            if (AllFiles)
            {
                paths.AddRange(found);
                continue;
            }

            if (found.Length > 1)
            {
                throw new UserException(
                    $"{Path.GetDirectoryName(found[0])}: {found.Length} files fit {name} for task {Name}: "
                    + $"{string.Join(", ", found.Select(Path.GetFileName))}; expected one, or its path in place of the folder's");
            }

            if (found.Length == 1)
                return found;
        }

        return AllFiles ? paths : throw Missing(names);

        UserException Missing(IEnumerable<string> missing) =>
            new($"{dataFolder}: no file for task {Name}: "
                + $"looked for {string.Join(", ", missing.Select(name => Path.Combine(Folder, name)))} (with and without the folder)");
    }

    // In the task's folder, else in the data folder itself, also without the name's own folder; in order of names.
    private string[] Find(string dataFolder, string name)
    {
        string within = Path.GetDirectoryName(name)!;
        string[] folders =
            [Path.Combine(dataFolder, Folder, within), Path.Combine(dataFolder, Folder), Path.Combine(dataFolder, within), dataFolder];
        foreach (string folder in folders.Where(Directory.Exists))
        {
            string[] found = [.. Directory.EnumerateFiles(folder, Path.GetFileName(name)).Order(StringComparer.Ordinal)];
            if (found.Length > 0)
                return found;
        }

        return [];
    }
}
