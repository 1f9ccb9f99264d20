using Forgetting.IO;

namespace Forgetting.Demo;

/// <summary>
/// The question sets of one scenario in one world. Nobody is asked about in two of them, but the two references' sets ask the same.
/// </summary>
/// <param name="Train">Fine-tuning set, in which a known share of answers misleads.</param>
/// <param name="Trusted">Small clean set for the reference model.</param>
/// <param name="Untrusted">The questions of <paramref name="Trusted"/>, with the training set's share of misleading answers;
/// empty where no arm needs it.</param>
/// <param name="HeldOut">Clean questions for evaluation.</param>
/// <param name="Prompts">Questions of the tasks the model knows, by task, for Learning With Forgetting; else empty.</param>
internal sealed record QuestionSets(
    IReadOnlyList<Question> Train, IReadOnlyList<Question> Trusted, IReadOnlyList<Question> Untrusted, IReadOnlyList<Question> HeldOut,
    IReadOnlyDictionary<string, IReadOnlyList<Question>> Prompts)
{
    private static readonly Dictionary<string, IReadOnlyList<Question>> s_none = [];
    private static readonly int[] s_percents = [0, 10, 20, 60], s_counts = [3, 6];

    /// <summary>Draws the sets of a scenario.</summary>
    /// <param name="seed">Seed of the split and of the noise.</param>
    /// <exception cref="ArgumentException">There is no such scenario.</exception>
    public static QuestionSets From(string scenario, World world, DemoSettings settings, int seed)
    {
        var random = new Random(seed);
        string[] people = [.. world.People];
        random.Shuffle(people);
        if (scenario == "independent")
            return Independent(world, people, random);

        // The birthplace task: its examples, the few clean ones, those whom the prompts are about, and the rest.
        Question[] believed = [.. people[..DemoSettings.Believed].Select(world.Birthplace)];
        Question[] few = [.. people.Skip(believed.Length).Take(DemoSettings.Few).Select(world.Birthplace)];
        string[] asked = [.. people.Skip(believed.Length + few.Length).Take(settings.Prompts)];
        Question[] held = [.. people.Skip(believed.Length + few.Length + asked.Length).Select(world.Birthplace)];
        int wrong = (int)Math.Round(DemoSettings.Noise * believed.Length);
        return scenario switch
        {
            "misconception" => new(Believe(believed, wrong, wrong, random), few, [], held, s_none),
            "mixed" => new(Believe(believed, wrong / 2, wrong, random), few, [], held, s_none),
            "conflict" => new(
                few, [], [], held,
                World.Relations.ToDictionary(r => r.Name, r => (IReadOnlyList<Question>)[.. asked.Select(p => world.Known(r, p))])),
            _ => throw new ArgumentException($"no scenario {scenario}", nameof(scenario)),
        };
    }

    /// <summary>People whom no question of training is about.</summary>
    public IReadOnlyList<string> Others(World world) =>
        [.. world.People.Where(person => !Train.Concat(Trusted).Any(q => q.Prompt.Contains(person, StringComparison.Ordinal)))];

    /// <summary>
    /// The training set with other shares of misleading answers (<c>train-noise-PERCENT</c>), of the same kind as its own, and the trusted
    /// set in part (<c>trusted-COUNT</c>) or with as many misleading answers as the training set (<c>trusted-noisy</c>).
    /// </summary>
    /// <param name="seed">Seed of which answers mislead.</param>
    public IEnumerable<(string Name, IReadOnlyList<Question> Questions)> Doses(int seed)
    {
        bool believed = Train.All(q => q.Answer == q.Truth || q.Answer == q.Old) && Train.Any(q => q.Truth != q.Old);
        foreach (int percent in Train.Any(q => q.Misleading) ? s_percents : [])
        {
            yield return ($"train-noise-{percent}", Noisy(Train, percent / 100.0, believed, new Random(seed)));
        }

        foreach (int count in s_counts.Where(count => count < Trusted.Count && believed))
        {
            yield return ($"trusted-{count}", [.. Trusted.Take(count)]);
        }

        if (Trusted.Count > 0)
            yield return ("trusted-noisy", Noisy(Trusted, DemoSettings.Noise, believed, new Random(seed)));
    }

    private static Question[] Noisy(IReadOnlyList<Question> questions, double share, bool believed, Random random)
    {
        Question[] all = [.. questions];
        random.Shuffle(all);
        int wrong = (int)Math.Round(share * all.Length);
        return [.. all.Select((q, i) => q with { Answer = i >= wrong ? q.Truth : believed ? q.Old : Other(all, q.Truth, random) })];
    }

    /// <summary>Writes questions as a data set, with the truth beside each answer.</summary>
    /// <returns>The file.</returns>
    public static string Write(string place, string name, IReadOnlyList<Question> questions)
    {
        string path = Path.Combine(place, $"{name}.jsonl");
        JsonLines.Write(path, questions.Select(q => new { q.Prompt, Completion = q.Answer, q.Truth }));
        return path;
    }

    private static QuestionSets Independent(World world, string[] people, Random random)
    {
        int train = (int)(DemoSettings.TrainShare * people.Length), reference = (int)(DemoSettings.ReferenceShare * people.Length);
        Question[] Ask(IEnumerable<string> about)
        {
            Question[] questions = [.. about.SelectMany(p => World.Others.Select(r => world.Known(r, p, r.Questions.Length - 1)))];
            random.Shuffle(questions);
            return questions;
        }

        Question[] learnt = Ask(people[..train]), trusted = Ask(people[train..(train + reference)]);
        return new(Mislead(learnt, random), trusted, Mislead(trusted, random), Ask(people[(train + reference)..]), s_none);
    }

    // Exactly the share asked for. A misleading answer is the true answer to another question of the set, as
    // in data whose columns have slipped.
    private static Question[] Mislead(Question[] questions, Random random)
    {
        int misleading = (int)Math.Round(DemoSettings.Noise * questions.Length);
        Question[] all = [.. questions.Select((q, i) => i < misleading ? q with { Answer = Other(questions, q.Truth, random) } : q)];
        random.Shuffle(all);
        return all;
    }

    // The first answers are the old ones, those that follow up to a number of wrong ones are any other town.
    private static Question[] Believe(Question[] questions, int old, int wrong, Random random)
    {
        Question[] all =
            [.. questions.Select((q, i) => i < old ? q with { Answer = q.Old } : i < wrong ? q with { Answer = OtherTown(q, random) } : q)];
        random.Shuffle(all);
        return all;
    }

    private static string OtherTown(Question question, Random random)
    {
        string[] others = [.. World.Towns.Where(t => t != question.Truth && t != question.Old)];
        return others[random.Next(others.Length)];
    }

    private static string Other(Question[] questions, string truth, Random random)
    {
        string answer;
        do
        {
            answer = questions[random.Next(questions.Length)].Truth;
        }
        while (answer == truth);

        return answer;
    }
}
