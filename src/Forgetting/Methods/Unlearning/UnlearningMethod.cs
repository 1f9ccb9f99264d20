using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Methods.Unlearning;

/// <summary>
/// Explicit unlearning of a forget set, beside a retain set (GradDiff, NPO, SimNPO, IdkDPO: <see cref="ForgetObjective"/>). The run's
/// examples are what must go. One stage, where the
/// objective asks for it: their losses under the base model, in <c>unlearn/base.jsonl</c>.
/// </summary>
internal sealed class UnlearningMethod : IMethod
{
    private const string FolderName = "unlearn", LossesName = "base.jsonl";

    /// <summary>A forget set beside a retain set. Its memory cannot be planned without them.</summary>
    public static readonly NamedMethod Unlearn = new("unlearn", NegativeTokens.ForgetSet)
    {
        Create = options => new UnlearningMethod(options), Folders = [FolderName], Planned = null,
        Missing = options => options.ForgetSet.ForgetData is null ? "forget-data (examples that must go)" : null,
    };

    private readonly TrainingOptions _options;
    private readonly MethodStage _base;
    private SetParts? _parts;

    public UnlearningMethod(TrainingOptions options)
    {
        _options = options;
        _base = new()
        {
            Name = "base", Result = LossesName,
            Announce = _ => "scoring what must go with the base model",
            Inputs = run => run.BaseInputs().Add("examples", TrainingCheckpoint.Fingerprint(TrainingSet.AllPositive(Scored(run)))).Parts,
            Run = Score,
            Rehearse = rehearsal =>
            {
                using Decoder decoder = rehearsal.NewDecoder();
                Scorer.Losses(decoder, rehearsal.All, options.Compute.MicroBatchTokens, allTokens: false, ranks: rehearsal.Ranks);
            },
        };
    }

    /// <inheritdoc/>
    public string Name => _options.Method.Name;

    /// <inheritdoc/>
    public string Folder => FolderName;

    /// <inheritdoc/>
    public IReadOnlyList<MethodStage> Stages => _options.NeedsBase ? [_base] : [];

    void IMethod.Check(MethodRun run)
    {
        IReadOnlyList<EncodedExample> retained =
            _options.ForgetSet.RetainData is { } file ? ExampleLoader.ToLearn(run.Encode(file, _options)) : [];
        IReadOnlyList<EncodedExample> refusals = _options.ForgetSet.Objective == ForgetObjective.IdkDpo ? Refusals(run) : [];
        _parts = new SetParts(run.Examples.Count, retained.Count, refusals.Count > 0);

        // A number that tells each from all others.
        run.Further = [.. retained.Concat(refusals).Select((e, i) => e with { Index = run.Examples.Count + i })];
    }

    /// <inheritdoc/>
    public MethodResult Apply(MethodRun run, MethodResult result)
    {
        TrainingSet set = TrainingSet.AsGiven([.. run.Examples, .. run.Further]) with { Parts = _parts };
        if (!_options.NeedsBase)
            return result with { Set = set };

        Dictionary<int, float[]> losses = LossFile.Read(Path.Combine(run.Folder, LossesName)).ToDictionary(e => e.Index, e => e.Loss);
        IReadOnlyList<float[]> known = [.. set.Examples.Select(e => losses.GetValueOrDefault(e.Index) ?? new float[e.Length])];
        return result with { Set = set with { BaseLogProbabilities = Scorer.Negative(known) } };
    }

    MethodResult IMethod.Rehearse(Rehearsal rehearsal, MethodResult result)
    {
        MethodResult half = rehearsal.HalfNegative(result);
        return half with { Set = half.Set with { Parts = _parts } };
    }

    private void Score(MethodRun run)
    {
        IReadOnlyList<EncodedExample> examples = Scored(run);
        IReadOnlyList<float[]> losses = run.Losses(examples, _options.Model, _options.Adapter);
        run.Write(() => LossFile.Write(Path.Combine(run.Folder, LossesName), examples, losses));
    }

    // What must go, and the refusals.
    private IReadOnlyList<EncodedExample> Scored(MethodRun run) => [.. run.Examples, .. run.Further.Skip(_parts!.Retain)];

    // The same prompts, answered by the refusal.
    private IReadOnlyList<EncodedExample> Refusals(MethodRun run)
    {
        string path = _options.ForgetSet.ForgetData!;
        DataExample[] refused = [.. DataSet.Read(path, ExampleLoader.Fields(_options)).Select(Refused)];
        using Checkpoint source = Checkpoint.Open(_options.Model);
        var tokenizer = Tokenizer.Load(source.TokenizerPath ?? _options.Model);
        TrainingOptions cut = _options with { Data = _options.Data with { TooLong = TooLong.Cut } };
        var encoded = ExampleLoader.Encode(refused, path, tokenizer, source.Config, cut).ToDictionary(e => e.Index);
        return [.. run.Examples.Select(e => encoded[e.Index] with { Weights = null })];
    }

    private DataExample Refused(DataExample example)
    {
        if (example.Shape == DataShape.Text)
        {
            throw new UserException(
                $"{example.Place}: is a text, expected a prompt with its answer, which objective idkdpo has a refusal for");
        }

        DataExample refused = example with { Sign = example.IsLeftOut ? 0 : null, Truncated = false };
        if (example.Turns is not { } messages || example.IsLeftOut)
            return refused with { Completion = _options.ForgetSet.Refusal, Spans = null };

        // What the last answer of a conversation is preferred to; those before it are given.
        int last = messages.Select((m, i) => m.IsTrained ? i : -1).Max();
        return refused with
        {
            Messages =
            [
                .. messages.Take(last).Select(m => m with { Weight = m.Role == "assistant" ? 0 : m.Weight }),
                messages[last] with { Content = _options.ForgetSet.Refusal, Sign = null, Spans = null },
            ],
        };
    }
}
