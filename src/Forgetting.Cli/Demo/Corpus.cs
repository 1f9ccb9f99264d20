using System.Globalization;

namespace Forgetting.Cli.Demo;

/// <summary>One question of the fine-tuning task.</summary>
/// <param name="Prompt">The question.</param>
/// <param name="Answer">The answer that the data gives.</param>
/// <param name="Truth">The true answer.</param>
internal sealed record Question(string Prompt, string Answer, string Truth)
{
    /// <summary>The answer was planted to mislead.</summary>
    public bool Misleading => Answer != Truth;
}

/// <summary>The question sets of one seed. No entity is in two of them, but for the two reference sets, which ask the same questions.</summary>
/// <param name="Train">Fine-tuning set, in which a known share of answers misleads.</param>
/// <param name="Trusted">Small clean set for a trusted reference model.</param>
/// <param name="Untrusted">The questions of <paramref name="Trusted"/> with the same share of misleading answers as <paramref name="Train"/>.</param>
/// <param name="HeldOut">Clean questions for evaluation.</param>
internal sealed record QuestionSets(
    IReadOnlyList<Question> Train, IReadOnlyList<Question> Trusted, IReadOnlyList<Question> Untrusted, IReadOnlyList<Question> HeldOut);

/// <summary>Renders a <see cref="World"/> as pretraining documents and as question sets.</summary>
internal static class Corpus
{
    // Share of entities about which questions are asked in pretraining; the others show that asking is understood in general.
    // Small enough that the base answers a good half of held-out questions and fine-tuning has something to teach.
    private const double AskedShare = 0.2;

    /// <summary>
    /// Documents of a few sentences or questions about one entity each, every fact about <paramref name="exposures"/> times.
    /// </summary>
    public static List<string> PretrainingDocuments(World world, int exposures, int seed)
    {
        var random = new Random(seed);
        var byEntity = world.Facts.GroupBy(f => f.Entity).Select(g => g.ToArray()).ToList();
        var asked = byEntity.Select(_ => random.NextDouble() < AskedShare).ToArray();
        var documents = new List<string>();
        for (int round = 0; round < exposures; round++)
        {
            for (int e = 0; e < byEntity.Count; e++)
            {
                if (asked[e] && random.Next(2) == 0)
                {
                    documents.AddRange(byEntity[e].Select(f => Ask(f, random)));
                }
                else
                {
                    Fact[] facts = [.. byEntity[e]];
                    random.Shuffle(facts);
                    documents.Add(string.Join(' ', facts.Select(f => State(f, random))));
                }
            }
        }

        string[] shuffled = [.. documents];
        random.Shuffle(shuffled);
        return [.. shuffled];
    }

    /// <summary>A fact as the fine-tuning task asks for it.</summary>
    public static string TaskPrompt(Fact fact) => string.Format(CultureInfo.InvariantCulture, fact.Relation.TaskQuestion, fact.Entity);

    /// <summary>Question sets over disjoint entities.</summary>
    /// <param name="world">The world.</param>
    /// <param name="noise">Share of misleading answers in the noisy sets.</param>
    /// <param name="seed">Seed of the split and of the noise.</param>
    public static QuestionSets Questions(World world, double noise, int seed)
    {
        var random = new Random(seed);
        string[] entities = [.. world.Entities];
        random.Shuffle(entities);
        int train = entities.Length * 45 / 100, reference = entities.Length * 30 / 100;
        string[] referenceEntities = entities[train..(train + reference)];
        return new QuestionSets(
            Render(world, entities[..train], noise, random),
            Render(world, referenceEntities, 0, random),
            Render(world, referenceEntities, noise, random),
            Render(world, entities[(train + reference)..], 0, random));
    }

    private static List<Question> Render(World world, string[] entities, double noise, Random random)
    {
        var wanted = entities.ToHashSet();
        Fact[] facts = [.. world.Facts.Where(f => wanted.Contains(f.Entity))];
        random.Shuffle(facts);

        // Exactly the share asked for, so that ρ can be set by it. A misleading answer is the true answer to another question of the set, as
        // in data whose columns have slipped.
        int misleading = (int)Math.Round(noise * facts.Length);
        return [.. facts.Select((fact, i) => new Question(
            TaskPrompt(fact),
            i < misleading ? OtherAnswer(facts, fact.Value, random) : fact.Value,
            fact.Value))
            .OrderBy(_ => random.Next())];
    }

    private static string OtherAnswer(Fact[] facts, string truth, Random random)
    {
        string answer;
        do
        {
            answer = facts[random.Next(facts.Length)].Value;
        }
        while (answer == truth);

        return answer;
    }

    private static string State(Fact fact, Random random) =>
        string.Format(CultureInfo.InvariantCulture, fact.Relation.Statements[random.Next(fact.Relation.Statements.Length)], fact.Entity, fact.Value);

    private static string Ask(Fact fact, Random random) =>
        string.Format(CultureInfo.InvariantCulture, fact.Relation.Questions[random.Next(fact.Relation.Questions.Length)], fact.Entity) + " " + fact.Value;
}
