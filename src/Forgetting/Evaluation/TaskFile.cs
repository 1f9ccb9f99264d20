using System.Globalization;
using Forgetting.Core;
using Forgetting.Evaluation.Readers;
using Forgetting.IO;
using YamlDotNet.RepresentationModel;

namespace Forgetting.Evaluation;

/// <summary>
/// Reads a task's YAML file. Keys are those of lm-evaluation-harness where it has them; prompts are Jinja
/// templates over the document's fields.
/// </summary>
internal static class TaskFile
{
    private const int MaxRepeats = 10_000;

    /// <summary>Keys of a task.</summary>
    public static IReadOnlyList<string> Keys { get; } =
    [
        "task", "folder", "files", "fewshot_files", "all_files", "format", "fields", "where", "output_type", "description", "doc_to_text",
        "doc_to_target", "doc_to_choice", "references", "false_references", "target_delimiter", "append_eos", "fewshot_delimiter",
        "num_fewshot", "fewshot_config", "metric_list", "group_by", "macro_average", "until",
        "max_gen_toks", "temperature", "repeats", "filter_list", "regexes_to_ignore",
    ];

    /// <summary>A task, or a group of tasks, from YAML.</summary>
    /// <param name="path">What errors call it.</param>
    /// <exception cref="UserException">It is not YAML, a key is unknown or missing, or a value is of the wrong kind; file,
    /// line and key are named.</exception>
    public static (EvaluationTask? Task, TaskGroup? Group) Read(TextReader reader, string path)
    {
        var root = new Node(path, YamlFile.Read(reader, path));
        bool isGroup = root.Find("group") is not null;
        root.Expect(isGroup ? "group" : "task", isGroup ? ["group", "task"] : Keys);
        return isGroup ? (null, new TaskGroup(root.Name("group"), root.Texts("task"))) : (Task(root, path), null);
    }

    private static EvaluationTask Task(Node root, string path)
    {
        string name = root.Name("task");
        OutputType type = root.OneOf("output_type", new Dictionary<string, OutputType>
        {
            ["multiple_choice"] = OutputType.MultipleChoice,
            ["loglikelihood"] = OutputType.LogLikelihood,
            ["loglikelihood_rolling"] = OutputType.LogLikelihoodRolling,
            ["generate_until"] = OutputType.GenerateUntil,
        });
        bool choiceFields = root.Find("doc_to_choice") is YamlScalarNode;
        if (type == OutputType.MultipleChoice && root.Find("doc_to_choice") is null)
        {
            throw new UserException(
                $"{path}: \"doc_to_choice\" is missing; expected a list of choices, or the names of fields that hold them");
        }

        return new EvaluationTask
        {
            Name = name,
            Folder = root.Find("folder") is null ? name : root.Below("folder")[0],
            Files = root.Below("files"),
            FewShotFiles = root.Find("fewshot_files") is null ? [] : root.Below("fewshot_files"),
            AllFiles = root.Flag("all_files"),
            Reader = root.OneOf("format", DocumentReaders.All),
            Fields = Fields(root),
            Where = root.Find("where") is null ? null : root.Template("where"),
            OutputType = type,
            Description = root.Find("description") is null ? null : root.Template("description"),
            DocToText = root.Template("doc_to_text"),
            DocToTarget = root.Template("doc_to_target"),
            References = root.Find("references") is null ? null : root.Text("references"),
            FalseReferences = root.Find("false_references") is null ? null : root.Text("false_references"),
            Choices = choiceFields || root.Find("doc_to_choice") is null ? [] : root.Templates("doc_to_choice"),
            ChoiceFields = choiceFields ? root.Text("doc_to_choice").Split(',', StringSplitOptions.TrimEntries) : [],
            AppendEos = root.Flag("append_eos"),
            TargetDelimiter = root.Text("target_delimiter", " "),
            FewShotDelimiter = root.Text("fewshot_delimiter", "\n\n"),
            Shots = root.Number("num_fewshot", 0),
            FewShotChoice = FewShotChoice(root),
            Metrics = Metrics(root, type),
            GroupBy = root.Find("group_by") is null ? null : root.Text("group_by"),
            MacroAverage = root.Flag("macro_average"),
            Until = root.Find("until") is null ? [] : root.Texts("until"),
            MaxNewTokens = root.Number("max_gen_toks", 256),
            Temperature = root.Real("temperature"),
            Repeats = Repeats(root),
            Filters = Filters(root),
            Ignored = root.Find("regexes_to_ignore") is null
                ? []
                : [.. root.Texts("regexes_to_ignore").Select(text => root.Pattern("regexes_to_ignore", text))],
            Source = root.Mapping.Children.ToDictionary(pair => pair.Key.ToString(), pair => Plain(pair.Value)),
        };
    }

    private static IReadOnlyList<string> Metrics(Node root, OutputType type)
    {
        IReadOnlyList<string> names = root.Texts("metric_list");
        foreach (string name in names)
        {
            if (!Evaluation.Metrics.For(type).Contains(name))
                throw root.Wrong("metric_list", $"\"{name}\"", string.Join(", ", Evaluation.Metrics.For(type)));

            if (GenerationMetrics.NeedsFalse(name) && root.Find("false_references") is null)
                throw root.Wrong("metric_list", $"\"{name}\" without wrong answers", "a field \"false_references\"");
        }

        return names;
    }

    private static int Repeats(Node root)
    {
        int repeats = root.Number("repeats", 1, least: 1);
        if (repeats > MaxRepeats)
            throw root.Wrong("repeats", $"{repeats}", $"at most {MaxRepeats}");

        if (repeats > 1 && root.Real("temperature") == 0)
            throw root.Wrong("repeats", $"{repeats} of one and the same text", "a \"temperature\" above 0");

        return repeats > 1 || !root.Texts("metric_list").Contains("self_bleu")
            ? repeats
            : throw root.Wrong("metric_list", "\"self_bleu\" of one text", "\"repeats\" of 2 or more");
    }

    private static FewShotChoice FewShotChoice(Node root)
    {
        if (root.Find("fewshot_config") is null)
            return new FewShotChoice(FirstN: false, By: null);

        Node config = root.Inner("fewshot_config");
        config.Expect("fewshot_config", ["sampler", "by"]);
        var samplers = new Dictionary<string, bool> { ["default"] = false, ["first_n"] = true };
        if (config.Find("by") is not null && root.Find("fewshot_files") is null)
            throw config.Wrong("by", "given without \"fewshot_files\"", "files that examples come from");

        return new FewShotChoice(
            config.Find("sampler") is not null && config.OneOf("sampler", samplers), config.Find("by") is null ? null : config.Text("by"));
    }

    private static Dictionary<string, FieldType> Fields(Node root)
    {
        if (root.Find("fields") is null)
            return [];

        var types = Enum.GetValues<FieldType>().ToDictionary(type => type.ToString().ToLowerInvariant());
        Node fields = root.Inner("fields");
        return fields.Mapping.Children.Keys.ToDictionary(key => key.ToString(), key => fields.OneOf(key.ToString(), types));
    }

    private static IReadOnlyList<AnswerFilter> Filters(Node root) => root.Find("filter_list") is not { } list ? []
        : [.. root.Items("filter_list", list).Select(Filter)];

    private static AnswerFilter Filter(Node item)
    {
        item.Expect("filter", ["name", "regex", "group_select"]);
        return new AnswerFilter(item.Text("name"), item.Pattern("regex", item.Text("regex")), item.Number("group_select", 0, least: -1));
    }

    private static object Plain(YamlNode node) => node switch
    {
        YamlMappingNode mapping => mapping.Children.ToDictionary(pair => pair.Key.ToString(), pair => Plain(pair.Value)),
        YamlSequenceNode sequence => sequence.Children.Select(Plain).ToArray(),
        _ => node.ToString(),
    };

    /// <summary>A mapping that knows its file, so that every error has file and line.</summary>
    private sealed record Node(string Path, YamlMappingNode Mapping)
    {
        public void Expect(string what, IReadOnlyList<string> keys)
        {
            if (Mapping.Children.Keys.FirstOrDefault(key => !keys.Contains(key.ToString())) is { } unknown)
            {
                throw new UserException(
                    $"{Path}:{unknown.Start.Line}: \"{unknown}\" is no key of a {what}; expected one of {string.Join(", ", keys)}");
            }
        }

        public YamlNode? Find(string key) => Mapping.Children.TryGetValue(key, out YamlNode? value) ? value : null;

        public string Text(string key, string? absent = null) => Find(key) switch
        {
            YamlScalarNode scalar => scalar.Value ?? "",
            null => absent ?? throw new UserException($"{Path}:{Mapping.Start.Line}: \"{key}\" is missing"),
            _ => throw Wrong(key, "not one value", "one value"),
        };

        public IReadOnlyList<string> Texts(string key) =>
            Find(key) is YamlSequenceNode list && list.Children.All(child => child is YamlScalarNode)
                ? [.. list.Children.Select(child => ((YamlScalarNode)child).Value ?? "")]
                : [Text(key)];

        public int Number(string key, int absent, int least = 0) => Find(key) is null ? absent
            : int.TryParse(Text(key), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) && number >= least
            ? number
            : throw Wrong(key, $"\"{Text(key)}\"", $"a whole number, at least {least}");

        public double Real(string key) => Find(key) is null ? 0
            : double.TryParse(Text(key), NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && number >= 0
                && double.IsFinite(number)
            ? number
            : throw Wrong(key, $"\"{Text(key)}\"", "a number, at least 0");

        public bool Flag(string key) =>
            Find(key) is not null && OneOf(key, new Dictionary<string, bool> { ["true"] = true, ["false"] = false });

        public T OneOf<T>(string key, IReadOnlyDictionary<string, T> values) => values.TryGetValue(Text(key), out T? value)
            ? value
            : throw Wrong(key, $"\"{Text(key)}\"", string.Join(", ", values.Keys));

        public PromptTemplate Template(string key) => new(Text(key), Place(key));

        public IReadOnlyList<PromptTemplate> Templates(string key) => [.. Texts(key).Select(text => new PromptTemplate(text, Place(key)))];

        /// <summary>A name that becomes part of files' names. A star stands for the names of a family.</summary>
        public string Name(string key) => PlainName.Check(Text(key), Place(key));

        public IReadOnlyList<string> Below(string key) => [.. Texts(key).Select(path => PlainName.CheckBelow(path, Place(key)))];

        public AnswerPattern Pattern(string key, string text) => new(text, Place(key));

        public Node Inner(string key) =>
            Find(key) is YamlMappingNode inner ? new Node(Path, inner) : throw Wrong(key, "not a mapping", "a mapping");

        public IEnumerable<Node> Items(string key, YamlNode list) =>
            list is YamlSequenceNode items && items.Children.All(item => item is YamlMappingNode)
                ? items.Children.Select(item => new Node(Path, (YamlMappingNode)item))
                : throw Wrong(key, "not a list of mappings", "a list of mappings");

        public UserException Wrong(string key, string found, string expected) => new($"{Place(key)} is {found}; expected {expected}");

        private string Place(string key) => $"{Path}:{Find(key)?.Start.Line ?? Mapping.Start.Line}: {key}";
    }
}
