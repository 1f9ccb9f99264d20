using System.Globalization;

namespace Forgetting.Cli.Demo.Conflict;

/// <summary>A question of the target task.</summary>
/// <param name="Prompt">The question.</param>
/// <param name="Answer">What the target task answers.</param>
/// <param name="OldAnswer">What the conflicting source task answers.</param>
internal sealed record TargetQuestion(string Prompt, string Answer, string OldAnswer);

/// <summary>The data of one seed. No person is in two of the three sets.</summary>
/// <param name="Train">The few examples of the target task.</param>
/// <param name="Prompts">Prompts of the source tasks, by task.</param>
/// <param name="HeldOut">Questions of the target task for evaluation.</param>
/// <param name="HeldOutSource">Questions of the harmless source tasks about the same people, with their answers.</param>
internal sealed record ConflictSets(
    IReadOnlyList<TargetQuestion> Train,
    IReadOnlyDictionary<string, IReadOnlyList<string>> Prompts,
    IReadOnlyList<TargetQuestion> HeldOut,
    IReadOnlyList<(string Prompt, string Answer)> HeldOutSource);

/// <summary>
/// The world of the second act: people of whom birthplace, home, trade, pet and food are told. In pretraining each of these is also asked for, a source task each; "Which town is … from?" is
/// answered with the home. The target task asks just that and wants the birthplace.
/// </summary>
internal sealed class ConflictWorld
{
    /// <summary>The source task that answers the target task's prompts with something else.</summary>
    public const string Conflicting = "home";

    /// <summary>A source task that has nothing to do with the target task.</summary>
    public const string Harmless = "pet";

    // Share of the people about whom the source tasks are asked in pretraining; that they can be asked about others too is the model's own conclusion.
    private const double AskedShare = 0.5;

    private static readonly Relation s_birth = new("birth", World.Towns,
        ["{0} was born in {1}.", "The birthplace of {0} is {1}.", "{0} first saw the light of day in {1}."],
        ["Where was {0} born?"]);

    private static readonly Relation s_home = new(Conflicting, World.Towns,
        ["{0} lives in {1}.", "{0} has a house in {1}.", "The home of {0} is {1}."],
        ["Which town is {0} from?"]);

    private static readonly Relation[] s_relations = [s_birth, s_home, .. World.PeopleRelations];

    private readonly string[] _people;
    private readonly Dictionary<(string Person, string Relation), string> _values = [];

    /// <summary>Draws a world.</summary>
    /// <param name="people">Number of people, at most 576.</param>
    /// <param name="seed">Seed of names and facts.</param>
    public ConflictWorld(int people, int seed)
    {
        var random = new Random(seed);
        _people = World.Names(people, random);
        foreach (string person in _people)
        {
            foreach (Relation relation in s_relations)
            {
                string other = relation == s_home ? _values[(person, s_birth.Name)] : "";
                string[] values = [.. relation.Values.Where(v => v != other)];
                _values.Add((person, relation.Name), values[random.Next(values.Length)]);
            }
        }
    }

    /// <summary>Names of the source tasks.</summary>
    public static IReadOnlyList<string> Tasks { get; } = [.. s_relations.Select(r => r.Name)];

    /// <summary>Documents that tell a person's facts, or ask the source tasks' questions about one; every fact <paramref name="exposures"/> times.</summary>
    public IReadOnlyList<string> PretrainingDocuments(int exposures, int seed)
    {
        var random = new Random(seed);
        bool[] asked = [.. _people.Select(_ => random.NextDouble() < AskedShare)];
        var documents = new List<string>();
        for (int round = 0; round < exposures; round++)
        {
            for (int p = 0; p < _people.Length; p++)
            {
                if (asked[p] && random.Next(2) == 0)
                {
                    documents.AddRange(s_relations.Select(r => $"{Prompt(r, _people[p])} {Value(r, _people[p])}"));
                    continue;
                }

                Relation[] relations = [.. s_relations];
                random.Shuffle(relations);
                documents.Add(string.Join(' ', relations.Select(r => string.Format(CultureInfo.InvariantCulture, r.Statements[random.Next(r.Statements.Length)], _people[p], Value(r, _people[p])))));
            }
        }

        string[] shuffled = [.. documents];
        random.Shuffle(shuffled);
        return shuffled;
    }

    /// <summary>The data of a seed.</summary>
    /// <param name="examples">Examples of the target task.</param>
    /// <param name="prompts">Prompts of each source task.</param>
    public ConflictSets Sets(int examples, int prompts, int seed)
    {
        string[] people = [.. _people];
        new Random(seed).Shuffle(people);
        string[] asked = people[examples..(examples + prompts)], held = people[(examples + prompts)..];
        return new ConflictSets(
            [.. people[..examples].Select(Target)],
            s_relations.ToDictionary(r => r.Name, r => (IReadOnlyList<string>)[.. asked.Select(p => Prompt(r, p))]),
            [.. held.Select(Target)],
            [.. World.PeopleRelations.SelectMany(r => held.Select(p => (Prompt(r, p), Value(r, p))))]);
    }

    private TargetQuestion Target(string person) => new(Prompt(s_home, person), Value(s_birth, person), Value(s_home, person));

    private string Value(Relation relation, string person) => _values[(person, relation.Name)];

    private static string Prompt(Relation relation, string person) => string.Format(CultureInfo.InvariantCulture, relation.Questions[0], person);
}
