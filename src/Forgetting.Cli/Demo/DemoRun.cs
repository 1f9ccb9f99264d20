using System.Globalization;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.IO;
using Forgetting.Methods;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Training;

namespace Forgetting.Cli.Demo;

/// <summary>One finished run of an arm.</summary>
/// <param name="Arm">The arm; null for the untuned base.</param>
/// <param name="Seed">The seed.</param>
/// <param name="Folder">The run's folder.</param>
/// <param name="Quality">Held-out answers.</param>
/// <param name="Detection">How well influence found the planted answers; null where the method uses none.</param>
internal sealed record DemoResult(Arm? Arm, int Seed, string Folder, AnswerQuality Quality, NoiseDetection? Detection);

/// <summary>
/// The main job in miniature: pretrains a small model on a generated world, plants misleading answers in a fine-tuning set, tunes by every arm over
/// several seeds, and measures what the papers could not: how well influence finds what was planted.
/// </summary>
internal sealed class DemoRun(DemoSettings settings, string folder, IBackend backend, ITrainingObserver observer, CancellationToken cancellation)
{
    private readonly World _world = new(settings.People, seed: 1);

    /// <summary>Runs everything and returns the results, seed by seed, the base first.</summary>
    public IReadOnlyList<DemoResult> Execute()
    {
        var results = new List<DemoResult>();
        for (int seed = settings.FirstSeed; seed < settings.FirstSeed + settings.Seeds; seed++)
        {
            // A base of its own for each seed, as in the second act: what the methods gain depends on the base more than on the questions.
            int own = seed;
            string model = BaseModel.Prepare(
                Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"base-{settings.People}-{settings.Exposures}-{seed}")),
                () => (Corpus.PretrainingDocuments(_world, settings.Exposures, seed: 2 + own), _world.Facts.Select(f => $"{Corpus.TaskPrompt(f)} {f.Value}")),
                backend, observer, cancellation);
            RunSeed(model, seed, results);
        }

        return results;
    }

    /// <summary>The question sets of a seed.</summary>
    public QuestionSets QuestionsOf(int seed) => Corpus.Questions(_world, settings.Noise, seed: 10 + seed);

    private void RunSeed(string model, int seed, List<DemoResult> results)
    {
        string place = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"seed-{seed}"));
        if (Directory.Exists(place))
            Directory.Delete(place, recursive: true);

        Directory.CreateDirectory(place);
        QuestionSets sets = QuestionsOf(seed);
        string train = WriteData(place, "train", sets.Train);
        WriteData(place, "held-out", sets.HeldOut);
        TrainingOptions tuning = DemoSettings.Tuning with { Model = model, Seed = (ulong)seed, Compute = DemoSettings.Tuning.Compute with { Device = backend.Name } };
        string trusted = Reference(place, "trusted", sets.Trusted, tuning), untrusted = Reference(place, "untrusted", sets.Untrusted, tuning);

        results.Add(new DemoResult(null, seed, model, Measure(model, sets), null));
        foreach (Arm arm in settings.Arms)
        {
            observer.StageBegan(string.Create(CultureInfo.InvariantCulture, $"first act, seed {seed - settings.FirstSeed + 1} of {settings.Seeds}: {arm.Name}"));
            string run = Path.Combine(place, arm.Name.Replace(", ", "-", StringComparison.Ordinal).Replace("ρ ", "rho-", StringComparison.Ordinal));
            TrainingOptions options = tuning with { Data = tuning.Data with { Path = train }, Out = run, Method = arm.Method, TokenForgetting = tuning.TokenForgetting with { Ascent = arm.Ascent } };
            if (arm.Method != TrainingMethod.Full)
                options = options with { TokenForgetting = options.TokenForgetting with { Reference = arm.Trusted ? trusted : untrusted, Rho = arm.PaperRho ? Scores.DefaultRho : settings.NoiseRho } };

            TuneRun.Execute(options.WithoutUnused(), backend, resume: false, new QuietStages(observer), cancellation: cancellation);
            RunFolder.WriteReport(run);
            string scores = Path.Combine(run, "scores.jsonl");
            NoiseDetection? detection = File.Exists(scores) ? NoiseDetection.Measure(ScoreFile.Read(scores), sets.Train) : null;
            results.Add(new DemoResult(arm, seed, run, Measure(Path.Combine(run, "model"), sets), detection));
        }
    }

    private string Reference(string place, string name, IReadOnlyList<Question> questions, TrainingOptions tuning)
    {
        observer.StageBegan($"reference on {name} answers");
        string run = Path.Combine(place, $"reference-{name}");
        TrainingOptions options = tuning with { Data = tuning.Data with { Path = WriteData(place, $"reference-{name}", questions) }, Out = run, Method = TrainingMethod.Full };
        TuneRun.Execute(options.WithoutUnused(), backend, resume: false, new QuietStages(observer), cancellation: cancellation);
        return Path.Combine(run, "model");
    }

    private AnswerQuality Measure(string model, QuestionSets sets)
    {
        using LoadedModel loaded = LoadedModel.Load(model, backend);
        return AnswerQuality.Measure(loaded, sets.HeldOut, _world.Entities);
    }

    private static string WriteData(string place, string name, IReadOnlyList<Question> questions)
    {
        string path = Path.Combine(place, $"{name}.jsonl");
        AtomicFile.WriteText(path, string.Concat(questions.Select(q => JsonSerializer.Serialize(new { q.Prompt, Completion = q.Answer, q.Truth }, Json.Compact) + "\n")));
        return path;
    }
}
