using System.Globalization;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Demo;

/// <summary>One finished run of an arm.</summary>
/// <param name="Scenario">The scenario.</param>
/// <param name="Arm">Name of the arm; <see cref="Base"/> for the untuned model.</param>
/// <param name="Seed">The seed of world and model.</param>
/// <param name="Folder">The run's folder.</param>
/// <param name="ExactMatch">Share of held-out questions answered right.</param>
/// <param name="Loss">Mean cross-entropy of the true answers to them, nats a token.</param>
/// <param name="OldAnswers">Share of them answered as the pretrained model was taught to.</param>
/// <param name="Detection">How well the scores found the planted answers; null where the method uses none.</param>
/// <param name="Conflicting">Share of the unlearnt samples that come from the conflicting task; null where none are unlearnt.</param>
internal sealed record DemoResult(
    string Scenario, string Arm, int Seed, string Folder, double ExactMatch, double Loss, double OldAnswers, NoiseDetection? Detection,
    double? Conflicting)
{
    /// <summary>What the untuned model is called.</summary>
    public const string Base = "base";
}

/// <summary>
/// The main job in miniature: for every seed a world and a small model that has read of it, and in every scenario the same fine-tuning by
/// every arm. What the papers could not measure is known here: which answers were planted, and which the model believed before.
/// </summary>
internal sealed class DemoRun(
    DemoSettings settings, string folder, IBackend backend, ITrainingObserver observer, CancellationToken cancellation)
{
    // A base that knows less than this of what it was asked about is trained longer: what a method gains
    // depends on what there is to build on.
    private const double KnownShare = 0.85;
    private const int MaxDoublings = 2;

    /// <summary>Runs everything and returns the results, seed by seed.</summary>
    public IReadOnlyList<DemoResult> Execute()
    {
        var results = new List<DemoResult>();
        for (int seed = settings.FirstSeed; seed < settings.FirstSeed + settings.Seeds; seed++)
        {
            World world = WorldOf(seed);
            string model = PrepareBase(world, seed);
            foreach (Scenario scenario in DemoSettings.Scenarios)
            {
                RunScenario(scenario, world, model, seed, results);
            }
        }

        return results;
    }

    /// <summary>
    /// Prepares the worlds for runs by recipes and tunes nothing: for every seed <c>model-SEED</c> (of another width
    /// <c>model-N-wide-SEED</c>), and for every scenario a folder <c>SCENARIO-SEED</c> with its data, its references, the data with answers
    /// from elsewhere (<c>train-clean</c>: the truth, <c>train-oracle</c>: without what misleads, <c>train-relabelled</c>: the reference's
    /// own answers), and doses of noise and of reference data (<see cref="QuestionSets.Doses"/>).
    /// </summary>
    public void Prepare()
    {
        for (int seed = settings.FirstSeed; seed < settings.FirstSeed + settings.Seeds; seed++)
        {
            World world = WorldOf(seed);
            string trained = PrepareBase(world, seed),
                model = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"model-{Width}{seed}"));
            Directory.CreateDirectory(model);
            foreach (string file in Directory.EnumerateFiles(trained))
            {
                File.Copy(file, Path.Combine(model, Path.GetFileName(file)), overwrite: true);
            }

            foreach (Scenario scenario in DemoSettings.Scenarios)
            {
                Prepare(scenario, world, model, seed);
            }
        }
    }

    private void Prepare(Scenario scenario, World world, string model, int seed)
    {
        string place = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{scenario.Name}-{seed}"));
        DemoFolder.Clear(place);
        Directory.CreateDirectory(place);
        QuestionSets sets = QuestionsOf(scenario, world, seed);
        TrainingOptions recipe = WriteData(scenario, sets, place, model, seed);
        int steps = Trainer.CountSteps(recipe, sets.Train.Count);
        string? trusted = Reference(place, "trusted", sets.Trusted, steps, recipe);
        Reference(place, "untrusted", sets.Untrusted, steps, recipe);
        QuestionSets.Write(place, "known", [.. sets.Others(world).SelectMany(person => World.Others.Select(r => world.Known(r, person)))]);
        foreach ((string name, IReadOnlyList<Question> questions) in sets.Doses(seed: 3000 + seed))
        {
            QuestionSets.Write(place, name, questions);
        }

        if (trusted is null)
            return;

        using LoadedModel reference = LoadedModel.Load(trusted, backend);
        IReadOnlyList<string> answers = AnswerQuality.Answers(reference, [.. sets.Train.Select(q => q.Prompt)]);
        QuestionSets.Write(place, "train-clean", [.. sets.Train.Select(q => q with { Answer = q.Truth })]);
        QuestionSets.Write(place, "train-oracle", [.. sets.Train.Where(q => !q.Misleading)]);
        QuestionSets.Write(
            place, "train-relabelled",
            [.. sets.Train.Zip(answers, (q, answer) => q with { Answer = answer }).Where(q => q.Answer.Length > 0)]);
    }

    /// <summary>The world of a seed.</summary>
    public World WorldOf(int seed) => new(settings.People, seed: 100 + seed);

    /// <summary>The question sets of a scenario and seed.</summary>
    public QuestionSets QuestionsOf(Scenario scenario, World world, int seed) =>
        QuestionSets.From(scenario.Name, world, settings, seed: 1000 + seed);

    // In names of models, those of the usual width have none.
    private string Width =>
        settings.Width == DemoSettings.Full.Width ? "" : string.Create(CultureInfo.InvariantCulture, $"{settings.Width}-wide-");

    private string PrepareBase(World world, int seed)
    {
        for (int doublings = 0; ; doublings++)
        {
            int exposures = settings.Exposures << doublings;
            string model = BaseModel.Prepare(
                Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"base-{Width}{settings.People}-{exposures}-{seed}")),
                settings.Width, () => (world.PretrainingDocuments(exposures, seed: 2000 + seed), []),
                backend, observer, cancellation);
            using LoadedModel loaded = LoadedModel.Load(model, backend);
            Question[] known = [.. world.People.SelectMany(p => World.Relations.Select(r => world.Known(r, p)))];
            double share = AnswerQuality.Share(loaded, known, q => q.Truth);
            observer.StageBegan(
                string.Create(CultureInfo.InvariantCulture, $"the base of seed {seed} answers {share:0.0 %} of what it has read"));
            if (doublings == MaxDoublings || share >= KnownShare)
                return model;
        }
    }

    private void RunScenario(Scenario scenario, World world, string model, int seed, List<DemoResult> results)
    {
        string place = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{scenario.Name}-{seed}"));
        DemoFolder.Clear(place);
        Directory.CreateDirectory(place);
        QuestionSets sets = QuestionsOf(scenario, world, seed);
        TrainingOptions recipe = WriteData(scenario, sets, place, model, seed);

        // So few examples need as many steps as the training set's, not as many epochs.
        int steps = Trainer.CountSteps(recipe, sets.Train.Count);
        string? trusted = Reference(place, "trusted", sets.Trusted, steps, recipe),
            untrusted = Reference(place, "untrusted", sets.Untrusted, steps, recipe);
        results.Add(Measure(scenario, DemoResult.Base, seed, model, model, sets));
        string[] runs = [.. scenario.Arms.Select(a => Path.Combine(place, FolderName(a.Name)))];
        foreach ((Arm arm, string run) in scenario.Arms.Zip(runs))
        {
            observer.StageBegan(string.Create(
                CultureInfo.InvariantCulture,
                $"{scenario.Title.ToLowerInvariant()}, seed {seed - settings.FirstSeed + 1} of {settings.Seeds}: {arm.Name}"));
            TrainingOptions options = arm.Settings(recipe) with { Out = run };
            options = options with { TokenForgetting = options.TokenForgetting with { Reference = arm.Untrusted ? untrusted : trusted } };
            TuneRun.Execute(
                options.WithoutUnused(), backend, observer: new QuietStages(observer), others: runs, cancellation: cancellation);
            results.Add(Measure(scenario, arm.Name, seed, run, Path.Combine(run, "model"), sets));
        }
    }

    private TrainingOptions WriteData(Scenario scenario, QuestionSets sets, string place, string model, int seed)
    {
        QuestionSets.Write(place, "held-out", sets.HeldOut);
        return scenario.Recipe with
        {
            Model = model,
            Seed = (ulong)seed,
            Data = scenario.Recipe.Data with { Path = QuestionSets.Write(place, "train", sets.Train) },
            Compute = scenario.Recipe.Compute with { Device = backend.Name },
            Unlearning =
                scenario.Recipe.Unlearning with { Prompts = [.. sets.Prompts.Select(t => QuestionSets.Write(place, t.Key, t.Value))] },
        };
    }

    private string? Reference(string place, string name, IReadOnlyList<Question> questions, int steps, TrainingOptions recipe)
    {
        if (questions.Count == 0)
            return null;

        observer.StageBegan($"reference on {name} answers");
        string run = Path.Combine(place, $"reference-{name}");

        TrainingOptions options = recipe with
        {
            Out = run,
            Method = TrainingMethod.Full,
            Data = recipe.Data with { Path = QuestionSets.Write(place, $"reference-{name}", questions) },
            Schedule = recipe.Schedule with { Steps = steps },
        };
        TuneRun.Execute(options.WithoutUnused(), backend, observer: new QuietStages(observer), cancellation: cancellation);
        return Path.Combine(run, "model");
    }

    private DemoResult Measure(Scenario scenario, string arm, int seed, string run, string model, QuestionSets sets)
    {
        using LoadedModel loaded = LoadedModel.Load(model, backend);
        IReadOnlyList<string> answers = AnswerQuality.Answers(loaded, [.. sets.HeldOut.Select(q => q.Prompt)]);
        string scores = Path.Combine(run, TokenForgettingMethod.ScoresName), selection = Path.Combine(
            run, LearningWithForgettingMethod.FolderName, LearningWithForgettingMethod.SelectionName);
        SelectionRecord[] unlearnt = File.Exists(selection) ? [.. SelectionRecord.Read(selection).Where(s => s.Selected)] : [];
        double Share(Func<Question, string> wanted) =>
            answers.Where((a, i) => a == wanted(sets.HeldOut[i])).Count() / (double)answers.Count;
        return new DemoResult(
            scenario.Name, arm, seed, run, Share(q => q.Truth),
            AnswerQuality.MeanLoss(loaded, [.. sets.HeldOut.Select(q => (q.Prompt, q.Truth))]), Share(q => q.Old),
            File.Exists(scores) ? NoiseDetection.Measure(ScoreFile.Read(scores), sets.Train) : null,
            unlearnt.Length == 0 ? null : unlearnt.Count(s => s.Task == World.Conflicting.Name) / (double)unlearnt.Length);
    }

    private static string FolderName(string arm) =>
        string.Concat(arm.Where(c => char.IsAsciiLetterOrDigit(c) || c == ' ')).Replace(' ', '-');
}
