using System.Globalization;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.IO;
using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Training;

namespace Forgetting.Cli.Demo.Conflict;

/// <summary>One finished run of the second act.</summary>
/// <param name="Arm">The arm; null for the untuned base.</param>
/// <param name="Seed">The seed.</param>
/// <param name="Folder">The run's folder.</param>
/// <param name="ExactMatch">Share of held-out target questions answered as the target task wants.</param>
/// <param name="Loss">Mean cross-entropy of the wanted answers, nats a token.</param>
/// <param name="OldAnswers">Share answered as the conflicting source task had it.</param>
/// <param name="Harmless">Share of the harmless source tasks' held-out questions that are still answered right.</param>
/// <param name="Conflicting">Share of the unlearnt samples that come from the conflicting source task; null where nothing is unlearnt.</param>
internal sealed record ConflictResult(
    ConflictArm? Arm, int Seed, string Folder, double ExactMatch, double Loss, double OldAnswers, double Harmless, double? Conflicting);

/// <summary>
/// The second act: a model that has learnt several source tasks in pretraining, one of which answers the target task's prompts with something else, is fine-tuned on a few examples of the target
/// task, with and without unlearning what it makes of the source tasks' prompts (arXiv 2505.19715).
/// </summary>
internal sealed class ConflictRun(ConflictSettings settings, string folder, IBackend backend, ITrainingObserver observer, CancellationToken cancellation)
{
    private readonly ConflictWorld _world = new(settings.People, seed: 3);

    /// <summary>Runs everything and returns the results, seed by seed, the base first.</summary>
    public IReadOnlyList<ConflictResult> Execute()
    {
        var results = new List<ConflictResult>();
        for (int seed = settings.FirstSeed; seed < settings.FirstSeed + settings.Seeds; seed++)
        {
            // A base of its own for each seed: what the methods gain depends on what a base happens to have made of its reading.
            int own = seed;
            string model = BaseModel.Prepare(
                Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"conflict-base-{settings.People}-{settings.Exposures}-{seed}")),
                () => (_world.PretrainingDocuments(settings.Exposures, seed: 4 + own), []),
                backend, observer, cancellation);
            RunSeed(model, seed, results);
        }

        return results;
    }

    private void RunSeed(string model, int seed, List<ConflictResult> results)
    {
        string place = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"conflict-seed-{seed}"));
        if (Directory.Exists(place))
            Directory.Delete(place, recursive: true);

        ConflictSets sets = _world.Sets(settings.Examples, settings.Prompts, seed: 20 + seed);
        string train = Write(place, "target", sets.Train.Select(q => new { q.Prompt, Completion = q.Answer }));
        Write(place, "held-out", sets.HeldOut.Select(q => new { q.Prompt, Completion = q.Answer, q.OldAnswer }));
        Dictionary<string, string> prompts = sets.Prompts.ToDictionary(t => t.Key, t => Write(place, t.Key, t.Value.Select(p => new { Prompt = p })));
        TrainingOptions tuning = settings.Tuning;
        results.Add(Measure(null, seed, model, model, sets));
        string[] runs = [.. settings.Arms.Select(a => Path.Combine(place, a.Name.Replace(", ", "-", StringComparison.Ordinal).Replace(' ', '-')))];
        foreach ((ConflictArm arm, string run) in settings.Arms.Zip(runs))
        {
            observer.StageBegan(string.Create(CultureInfo.InvariantCulture, $"second act, seed {seed - settings.FirstSeed + 1} of {settings.Seeds}: {arm.Name}"));
            TrainingOptions options = tuning with
            {
                Model = model,
                Data = tuning.Data with { Path = train },
                Out = run,
                Method = arm.Forget.Count > 0 ? TrainingMethod.Lwf : TrainingMethod.Full,
                Unlearning = tuning.Unlearning with
                {
                    Prompts = [.. arm.Forget.Select(t => prompts[t])],
                    Select = arm.Select,
                    Schedule = arm.Schedule,
                },
                Optimizer = tuning.Optimizer with { Regularizer = arm.Regularizer },
                Schedule = tuning.Schedule with { Steps = arm.AsManyUpdates ? UpdatesOf(tuning) : null },
                Seed = (ulong)seed,
                Compute = tuning.Compute with { Device = backend.Name },
            };
            TuneRun.Execute(options.WithoutUnused(), backend, observer: new QuietStages(observer), others: runs, cancellation: cancellation);
            RunFolder.WriteReport(run);
            results.Add(Measure(arm, seed, run, Path.Combine(run, "model"), sets));
        }
    }

    // Learning steps and unlearning steps together.
    private int UpdatesOf(TrainingOptions tuning)
    {
        int learning = Trainer.CountSteps(tuning, settings.Examples);
        return learning + new UnlearningSchedule(tuning, learning).Count;
    }

    private ConflictResult Measure(ConflictArm? arm, int seed, string run, string model, ConflictSets sets)
    {
        using LoadedModel loaded = LoadedModel.Load(model, backend);
        IReadOnlyList<string> answers = AnswerQuality.Answers(loaded, [.. sets.HeldOut.Select(q => q.Prompt)]);
        IReadOnlyList<string> source = AnswerQuality.Answers(loaded, [.. sets.HeldOutSource.Select(q => q.Prompt)]);
        SelectionRecord[] unlearnt = arm is { Forget.Count: > 0 } ? [.. SelectionRecord.Read(Path.Combine(run, "lwf", "selection.jsonl")).Where(s => s.Selected)] : [];
        return new ConflictResult(
            arm, seed, run,
            answers.Where((a, i) => a == sets.HeldOut[i].Answer).Count() / (double)answers.Count,
            AnswerQuality.MeanLoss(loaded, [.. sets.HeldOut.Select(q => (q.Prompt, q.Answer))]),
            answers.Where((a, i) => a == sets.HeldOut[i].OldAnswer).Count() / (double)answers.Count,
            source.Where((a, i) => a == sets.HeldOutSource[i].Answer).Count() / (double)source.Count,
            unlearnt.Length == 0 ? null : unlearnt.Count(s => s.Task == ConflictWorld.Conflicting) / (double)unlearnt.Length);
    }

    private static string Write<T>(string place, string name, IEnumerable<T> lines)
    {
        string path = Path.Combine(place, $"{name}.jsonl");
        AtomicFile.WriteText(path, string.Concat(lines.Select(line => JsonSerializer.Serialize(line, Json.Compact) + "\n")));
        return path;
    }
}
