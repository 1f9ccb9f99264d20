using System.Text.RegularExpressions;
using Forgetting.Evaluation.Readers;

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

    /// <summary>Greedy generation until a stop string.</summary>
    GenerateUntil,
}

/// <summary>How the answer is taken out of a generated text: the match at <paramref name="Select"/> (−1 for the last) of a pattern.</summary>
internal sealed record AnswerFilter(string Name, Regex Pattern, int Select);

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

    /// <summary>Reads a file.</summary>
    public required DocumentReader Reader { get; init; }

    /// <summary>Fields that documents must have, for formats that do not fix them.</summary>
    public IReadOnlyDictionary<string, FieldType> Fields { get; init; } = new Dictionary<string, FieldType>();

    /// <summary>Which documents count: those for which it gives "True"; null for all.</summary>
    public PromptTemplate? Where { get; init; }

    /// <summary>What is asked.</summary>
    public required OutputType OutputType { get; init; }

    /// <summary>Prompt.</summary>
    public required PromptTemplate DocToText { get; init; }

    /// <summary>Target; for multiple choice the index of the right choice.</summary>
    public required PromptTemplate DocToTarget { get; init; }

    /// <summary>The choices as templates; empty where <see cref="ChoiceFields"/> names fields.</summary>
    public IReadOnlyList<PromptTemplate> Choices { get; init; } = [];

    /// <summary>Fields that hold the choices, each a string or a list of them.</summary>
    public IReadOnlyList<string> ChoiceFields { get; init; } = [];

    /// <summary>Between prompt and target.</summary>
    public string TargetDelimiter { get; init; } = " ";

    /// <summary>Between examples.</summary>
    public string FewShotDelimiter { get; init; } = "\n\n";

    /// <summary>Examples before the question.</summary>
    public int Shots { get; init; }

    /// <summary>Names of what is measured.</summary>
    public required IReadOnlyList<string> Metrics { get; init; }

    /// <summary>Strings that end a generation.</summary>
    public IReadOnlyList<string> Until { get; init; } = [];

    /// <summary>Most tokens of a generation.</summary>
    public int MaxNewTokens { get; init; } = 256;

    /// <summary>Ways to take the answer from a generated text; empty for the text as it is.</summary>
    public IReadOnlyList<AnswerFilter> Filters { get; init; } = [];

    /// <summary>What is removed from answer and target before they are compared.</summary>
    public IReadOnlyList<Regex> Ignored { get; init; } = [];

    /// <summary>The YAML, for results.</summary>
    public required IReadOnlyDictionary<string, object> Source { get; init; }

    /// <summary>Finds and reads the documents.</summary>
    /// <exception cref="UserException">There is no such file, which says where it was looked for, or it is malformed.</exception>
    public IReadOnlyList<TaskDocument> Load(string dataFolder) => Load(dataFolder, Files);

    /// <summary>Finds and reads the documents that examples are drawn from, or null where they are the task's own.</summary>
    /// <exception cref="UserException">See <see cref="Load(string)"/>.</exception>
    public IReadOnlyList<TaskDocument>? LoadFewShot(string dataFolder) => FewShotFiles.Count > 0 && !File.Exists(dataFolder) ? Load(dataFolder, FewShotFiles) : null;

    private TaskDocument[] Load(string dataFolder, IReadOnlyList<string> names)
    {
        string path = Find(dataFolder, names);
        TaskDocument[] documents = [.. Reader(path, Fields).Where(document => Where is null || Where.Render(document) == "True")];
        return documents.Length > 0 ? documents : throw new UserException($"{path}: no items; expected those of {Name}");
    }

    private string Find(string dataFolder, IReadOnlyList<string> names)
    {
        if (File.Exists(dataFolder))
            return dataFolder;

        if (!Directory.Exists(dataFolder))
            throw new UserException($"{dataFolder}: no such folder: expected the benchmarks' files");

        string[] folders = [Path.Combine(dataFolder, Folder), dataFolder];
        foreach (string name in names)
        {
            foreach (string folder in folders.Where(Directory.Exists))
            {
                string[] found = [.. Directory.EnumerateFiles(folder, name).Order(StringComparer.Ordinal)];
                if (found.Length > 1)
                    throw new UserException($"{folder}: {found.Length} files fit {name} for task {Name}: {string.Join(", ", found.Select(Path.GetFileName))}; expected one, or its path in place of the folder's");

                if (found.Length == 1)
                    return found[0];
            }
        }

        throw new UserException($"{dataFolder}: no file for task {Name}: looked for {string.Join(", ", names.Select(name => Path.Combine(Folder, name)))} (with and without the folder)");
    }
}
