using System.Globalization;

namespace Forgetting.Demo;

/// <summary>A kind of fact: how it is stated, and how it is asked.</summary>
/// <param name="Name">Short name.</param>
/// <param name="Values">What it can be.</param>
/// <param name="Statements">Sentences; {0} the entity, {1} the value.</param>
/// <param name="Questions">Question forms, all of them met in pretraining.</param>
internal sealed record Relation(string Name, string[] Values, string[] Statements, string[] Questions);

/// <summary>
/// A small invented world of people of whom birthplace, home, trade, pet and food are told. In pretraining each of these is also asked
/// for; "Which town is … from?" is answered with the home, which is a misconception to a task that asks just that and wants the
/// birthplace. The same seed gives the same world.
/// </summary>
internal sealed class World
{
    private static readonly string[] s_firstNames =
    [
        "Ada", "Bela", "Cleo", "Dora", "Emil", "Fritz", "Greta", "Hugo", "Ines", "Jonas", "Karin", "Lars", "Mina", "Nils", "Olga", "Petra",
        "Quentin", "Rosa", "Stefan", "Tilda", "Ulrik", "Vera", "Willem", "Yara",
    ];

    private static readonly string[] s_lastNames =
    [
        "Abel", "Brandt", "Castell", "Dorn", "Ek", "Falk", "Garde", "Holm", "Iversen", "Janka", "Krall", "Lund", "Moreau", "Nagy", "Ostrow",
        "Pohl", "Rask", "Sandoz", "Thorn", "Ulm", "Vidal", "Wren", "Zorn", "Keller",
    ];

    /// <summary>Names of towns.</summary>
    public static readonly string[] Towns =
    [
        "Aldery", "Bramwick", "Corvale", "Dunmere", "Elsford", "Farholt", "Grimsay", "Harwen", "Istral", "Jorvane", "Kelmoor", "Lorring",
        "Marden", "Norwell", "Oakham", "Perrin", "Quillby", "Ravensey", "Selwick", "Torhaven",
    ];

    private static readonly Relation s_birth = new("birth", Towns,
        ["{0} was born in {1}.", "The birthplace of {0} is {1}.", "{0} first saw the light of day in {1}."],
        ["Where was {0} born?"]);

    private static readonly Relation s_home = new("home", Towns,
        ["{0} lives in {1}.", "{0} has a house in {1}.", "The home of {0} is {1}."],
        ["Which town is {0} from?"]);

    private static readonly Relation[] s_others =
    [
        new("work",
            ["baker", "carpenter", "doctor", "farmer", "gardener", "hunter", "judge", "mason", "miller", "nurse", "painter", "pilot",
                "poet", "sailor", "smith", "tailor", "teacher", "weaver"],
            ["{0} works as a {1}.", "{0} is a {1}.", "The trade of {0} is that of a {1}.", "{0} earns a living as a {1}."],
            ["What does {0} do?", "What is the trade of {0}?", "What does {0} work as?", "What is the profession of {0}?"]),
        new("pet",
            ["beetle", "canary", "cat", "dog", "ferret", "frog", "goat", "hamster", "lizard", "otter", "owl", "parrot", "pony", "rabbit",
                "snake", "turtle"],
            ["{0} keeps a {1}.", "{0} owns a {1}.", "The pet of {0} is a {1}.", "{0} has raised a {1}."],
            ["What animal does {0} keep?", "What is the pet of {0}?", "What does {0} own?", "Which animal belongs to {0}?"]),
        new("food",
            ["apples", "beans", "bread", "cheese", "cherries", "eggs", "fish", "honey", "lentils", "mushrooms", "noodles", "olives",
                "pears", "plums", "rice", "soup"],
            ["{0} likes {1}.", "{0} is fond of {1}.", "The favourite food of {0} is {1}.", "{0} always orders {1}."],
            ["What does {0} like?", "What is the favourite food of {0}?", "What does {0} order?", "What would {0} rather eat?"]),
    ];

    // Share of the people about whom is asked in pretraining; that others can be asked about too is the model's own conclusion.
    private const double AskedShare = 0.7;

    private readonly Dictionary<(string Person, Relation Relation), string> _values = [];

    /// <summary>Draws a world.</summary>
    /// <param name="people">Number of people, at most 576.</param>
    /// <param name="seed">Seed of names and facts.</param>
    public World(int people, int seed)
    {
        var random = new Random(seed);
        string[] names = [.. from first in s_firstNames from last in s_lastNames select $"{first} {last}"];
        random.Shuffle(names);
        People = names[..people];
        foreach (string person in People)
        {
            foreach (Relation relation in Relations)
            {
                string other = relation == s_home ? _values[(person, s_birth)] : "";
                string[] values = [.. relation.Values.Where(v => v != other)];
                _values.Add((person, relation), values[random.Next(values.Length)]);
            }
        }
    }

    /// <summary>Names.</summary>
    public IReadOnlyList<string> People { get; }

    /// <summary>All kinds of facts, which are also the tasks that the model knows from pretraining.</summary>
    public static IReadOnlyList<Relation> Relations { get; } = [s_birth, s_home, .. s_others];

    /// <summary>Kinds of facts that have nothing to do with the birthplace task.</summary>
    public static IReadOnlyList<Relation> Others => s_others;

    /// <summary>The task whose answer the birthplace task's question got in pretraining.</summary>
    public static Relation Conflicting => s_home;

    /// <summary>Documents that tell a person's facts, or ask about one; every fact <paramref name="exposures"/> times.</summary>
    public IReadOnlyList<string> PretrainingDocuments(int exposures, int seed)
    {
        var random = new Random(seed);
        bool[] asked = [.. People.Select(_ => random.NextDouble() < AskedShare)];
        var documents = new List<string>();
        for (int round = 0; round < exposures; round++)
        {
            for (int p = 0; p < People.Count; p++)
            {
                string person = People[p];
                if (asked[p] && random.Next(2) == 0)
                {
                    documents.AddRange(Relations.Select(r => $"{Ask(r, person, random.Next(r.Questions.Length))} {Value(r, person)}"));
                    continue;
                }

                Relation[] relations = [.. Relations];
                random.Shuffle(relations);
                documents.Add(string.Join(' ', relations.Select(
                    r => string.Format(
                        CultureInfo.InvariantCulture, r.Statements[random.Next(r.Statements.Length)], person, Value(r, person)))));
            }
        }

        string[] shuffled = [.. documents];
        random.Shuffle(shuffled);
        return shuffled;
    }

    /// <summary>What is true of a person.</summary>
    public string Value(Relation relation, string person) => _values[(person, relation)];

    /// <summary>A question that the model knows from pretraining, with its true answer.</summary>
    /// <param name="form">Which of the relation's forms.</param>
    public Question Known(Relation relation, string person, int form = 0) =>
        new(Ask(relation, person, form), Value(relation, person), Value(relation, person), Value(relation, person));

    /// <summary>The birthplace task's question, whose old answer is the home.</summary>
    public Question Birthplace(string person) =>
        new(Ask(s_home, person, 0), Value(s_birth, person), Value(s_birth, person), Value(s_home, person));

    private static string Ask(Relation relation, string person, int form) =>
        string.Format(CultureInfo.InvariantCulture, relation.Questions[form], person);
}

/// <summary>A question of a task.</summary>
/// <param name="Prompt">The question.</param>
/// <param name="Answer">The answer that the data gives.</param>
/// <param name="Truth">The true answer.</param>
/// <param name="Old">The answer that the pretrained model learnt to give.</param>
internal sealed record Question(string Prompt, string Answer, string Truth, string Old)
{
    /// <summary>The answer was planted to mislead.</summary>
    public bool Misleading => Answer != Truth;
}
