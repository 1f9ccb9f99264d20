namespace Forgetting.Cli.Demo;

/// <summary>A kind of fact: how it is stated, asked in pretraining, and asked in the fine-tuning task.</summary>
/// <param name="Name">Short name.</param>
/// <param name="Values">What it can be.</param>
/// <param name="Statements">Sentences; {0} the entity, {1} the value.</param>
/// <param name="Questions">Question forms; the last is the fine-tuning task's.</param>
internal sealed record Relation(string Name, string[] Values, string[] Statements, string[] Questions)
{
    /// <summary>The question form of the fine-tuning task.</summary>
    public string TaskQuestion => Questions[^1];
}

/// <summary>One fact: this relation of this entity has this value.</summary>
internal readonly record struct Fact(string Entity, Relation Relation, string Value);

/// <summary>A small invented world of people, towns and ships, whose facts can be asked for. The same seed gives the same world.</summary>
internal sealed class World
{
    private static readonly string[] s_firstNames =
    [
        "Ada", "Bela", "Cleo", "Dora", "Emil", "Fritz", "Greta", "Hugo", "Ines", "Jonas", "Karin", "Lars", "Mina", "Nils", "Olga", "Petra",
        "Quentin", "Rosa", "Stefan", "Tilda", "Ulrik", "Vera", "Willem", "Yara",
    ];

    private static readonly string[] s_lastNames =
    [
        "Abel", "Brandt", "Castell", "Dorn", "Ek", "Falk", "Garde", "Holm", "Iversen", "Janka", "Krall", "Lund", "Moreau", "Nagy", "Ostrow", "Pohl",
        "Rask", "Sandoz", "Thorn", "Ulm", "Vidal", "Wren", "Zorn", "Keller",
    ];

    /// <summary>Names of towns.</summary>
    public static readonly string[] Towns =
    [
        "Aldery", "Bramwick", "Corvale", "Dunmere", "Elsford", "Farholt", "Grimsay", "Harwen", "Istral", "Jorvane", "Kelmoor", "Lorring",
        "Marden", "Norwell", "Oakham", "Perrin", "Quillby", "Ravensey", "Selwick", "Torhaven",
    ];

    private static readonly string[] s_ships =
    [
        "Albatross", "Boreas", "Calypso", "Dauntless", "Endeavour", "Fortuna", "Gannet", "Halcyon", "Icarus", "Juno", "Kestrel", "Leviathan",
        "Meridian", "Nautilus", "Orion", "Pelican", "Resolute", "Seraph", "Triton", "Valiant",
    ];

    private static readonly Relation[] s_people =
    [
        new("home", Towns,
            ["{0} lives in {1}.", "{0} has a house in {1}.", "The home of {0} is {1}.", "You will find {0} in {1}."],
            ["Where does {0} live?", "What is the home of {0}?", "In which town does {0} live?", "Which town is home to {0}?"]),
        new("work",
            ["baker", "carpenter", "doctor", "farmer", "gardener", "hunter", "judge", "mason", "miller", "nurse", "painter", "pilot", "poet", "sailor", "smith", "tailor", "teacher", "weaver"],
            ["{0} works as a {1}.", "{0} is a {1}.", "The trade of {0} is that of a {1}.", "{0} earns a living as a {1}."],
            ["What does {0} do?", "What is the trade of {0}?", "What does {0} work as?", "What is the profession of {0}?"]),
        new("pet",
            ["beetle", "canary", "cat", "dog", "ferret", "frog", "goat", "hamster", "lizard", "otter", "owl", "parrot", "pony", "rabbit", "snake", "turtle"],
            ["{0} keeps a {1}.", "{0} owns a {1}.", "The pet of {0} is a {1}.", "{0} has raised a {1}."],
            ["What animal does {0} keep?", "What is the pet of {0}?", "What does {0} own?", "Which animal belongs to {0}?"]),
        new("food",
            ["apples", "beans", "bread", "cheese", "cherries", "eggs", "fish", "honey", "lentils", "mushrooms", "noodles", "olives", "pears", "plums", "rice", "soup"],
            ["{0} likes {1}.", "{0} is fond of {1}.", "The favourite food of {0} is {1}.", "{0} always orders {1}."],
            ["What does {0} like?", "What is the favourite food of {0}?", "What does {0} order?", "What would {0} rather eat?"]),
    ];

    private static readonly Relation[] s_townRelations =
    [
        new("river", ["Amber", "Brine", "Clay", "Drift", "Ebb", "Flint", "Gale", "Heron"],
            ["{0} lies on the {1}.", "The river of {0} is the {1}.", "The {1} runs through {0}."],
            ["Which river runs through {0}?", "What is the river of {0}?", "On which river does {0} lie?"]),
    ];

    private static readonly Relation[] s_shipRelations =
    [
        new("cargo", ["barley", "coal", "copper", "glass", "iron", "linen", "paper", "salt", "silk", "spice", "timber", "wool"],
            ["The {0} carries {1}.", "The cargo of the {0} is {1}.", "The {0} is loaded with {1}."],
            ["What does the {0} carry?", "What is the cargo of the {0}?", "What is aboard the {0}?"]),
        new("port", Towns,
            ["The {0} sails from {1}.", "The port of the {0} is {1}.", "The {0} is moored in {1}."],
            ["Where does the {0} sail from?", "What is the port of the {0}?", "Which port does the {0} call its own?"]),
    ];

    /// <summary>Draws a world.</summary>
    /// <param name="people">Number of people, at most 576.</param>
    /// <param name="seed">Seed of names and facts.</param>
    public World(int people, int seed)
    {
        var random = new Random(seed);
        string[] names = Names(people, random);
        Entities = [.. names, .. Towns, .. s_ships];
        var facts = new List<Fact>();
        AddFacts(facts, names, s_people, random);
        AddFacts(facts, Towns, s_townRelations, random);
        AddFacts(facts, s_ships, s_shipRelations, random);
        Facts = facts;
    }

    /// <summary>All entities: people, towns, ships.</summary>
    public IReadOnlyList<string> Entities { get; }

    /// <summary>All facts, entity by entity.</summary>
    public IReadOnlyList<Fact> Facts { get; }

    /// <summary>What there is to know of people besides where they live.</summary>
    public static IReadOnlyList<Relation> PeopleRelations => s_people[1..];

    /// <summary>Draws names of people.</summary>
    /// <param name="count">At most 576.</param>
    public static string[] Names(int count, Random random)
    {
        string[] names = [.. from first in s_firstNames from last in s_lastNames select $"{first} {last}"];
        random.Shuffle(names);
        return names[..count];
    }

    private static void AddFacts(List<Fact> facts, IEnumerable<string> entities, Relation[] relations, Random random)
    {
        foreach (string entity in entities)
        {
            foreach (Relation relation in relations)
            {
                facts.Add(new Fact(entity, relation, relation.Values[random.Next(relation.Values.Length)]));
            }
        }
    }
}
