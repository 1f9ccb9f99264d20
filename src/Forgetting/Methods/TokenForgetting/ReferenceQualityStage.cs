using Forgetting.Core;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Methods.TokenForgetting;

/// <summary>
/// Measures <see cref="ReferenceQuality"/> by two-fold cross-fitting: two references, each trained on one half of the reference's examples
/// and looked at on the other. Costs about as much as the reference itself.
/// </summary>
internal static class ReferenceQualityStage
{
    private const string Name = "quality", ResultName = "reference-quality.json", FoldName = "reference-quality";

    // Of random numbers; no epoch has it, and no other drawing.
    private const uint Stream = uint.MaxValue - 5;

    /// <summary>The stage.</summary>
    /// <param name="inputs">What the reference depends on.</param>
    public static MethodStage Of(TrainingOptions options, Func<MethodRun, IReadOnlyDictionary<string, string>> inputs) => new()
    {
        Name = Name,
        Result = ResultName,
        Announce = run =>
            $"training two references, on either half of {run.ForReference.Count} examples, to see what they say of the other",
        Inputs = inputs,
        Run = run => Measure(options, run),
        Rehearse = rehearsal =>
        {
            rehearsal.TrainPlainly(rehearsal.Reference);
            rehearsal.Score(rehearsal.Reference);
        },
    };

    /// <summary>What the stage found.</summary>
    public static ReferenceQuality Read(MethodRun run) => JsonLines.Read<ReferenceQuality>(Path.Combine(run.Folder, ResultName))[0];

    /// <summary>Looks at the examples that the reference is trained on.</summary>
    /// <exception cref="UserException">They cannot be halved.</exception>
    public static void Check(MethodRun run)
    {
        if (run.ForReference.Count < 2)
        {
            throw new UserException(
                $"reference-quality: the reference has {run.ForReference.Count} example{(run.ForReference.Count == 1 ? "" : "s")}, "
                + "expected at least 2, to train on one half and look at the other");
        }
    }

    private static void Measure(TrainingOptions options, MethodRun run)
    {
        (IReadOnlyList<EncodedExample> first, IReadOnlyList<EncodedExample> second) =
            ExampleSplit.Take(run.ForReference, 0.5, options.Seed, Stream);
        var quality = new ReferenceQuality(0, 0, 0);
        foreach ((int fold, IReadOnlyList<EncodedExample> learnt, IReadOnlyList<EncodedExample> other) in new[] { (1, first, second), (
            2, second, first) })
        {
            string folder = Path.Combine(run.Folder, FoldName, $"fold-{fold}");
            run.TrainPlainly(learnt, folder);
            using LoadedModel model = TrainedModel.LoadBase(options, run.Backend);
            using LoadedModel reference = LoadedModel.Load(Path.Combine(folder, "model"), run.Backend);
            IReadOnlyList<IReadOnlyList<float[]>> losses = Scorer.Losses(
                [model.Decoder, reference.Decoder], other, options.Compute.MicroBatchTokens, allTokens: false, run.Observer,
                run.Ranks, run.Cancellation);
            quality = quality.With(other, losses[0], losses[1]);
        }

        run.Write(() =>
        {
            JsonLines.Write(Path.Combine(run.Folder, ResultName), [quality]);
            Temporary.Delete(Path.Combine(run.Folder, FoldName));
        });
    }
}
