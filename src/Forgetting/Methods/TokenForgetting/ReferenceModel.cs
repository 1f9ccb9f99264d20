using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.HuggingFace;
using Forgetting.Training;

namespace Forgetting.Methods.TokenForgetting;

/// <summary>
/// The reference model, whose losses tell which tokens are informative: the base model after ordinary fine-tuning on a set of its own, with the same recipe
/// (arXiv 2508.04329, section 3). Lives in the folder <c>reference</c> of the run.
/// </summary>
public static class ReferenceModel
{
    /// <summary>Share of the data that is held out for the reference unless said otherwise: 10k of 60k in the paper's experiments.</summary>
    public const double DefaultFraction = 1.0 / 6;

    /// <summary>Takes examples for the reference out of a data set, at random by <paramref name="seed"/>; both parts keep the order of the data.</summary>
    /// <param name="fraction">Share to hold out, in (0, 1).</param>
    /// <exception cref="UserException">One of the two parts would be empty.</exception>
    public static (IReadOnlyList<EncodedExample> Reference, IReadOnlyList<EncodedExample> Training) Split(
        IReadOnlyList<EncodedExample> examples, double fraction, ulong seed)
    {
        int count = (int)Math.Round(fraction * examples.Count);
        if (count == 0 || count == examples.Count)
            throw new UserException($"reference-fraction {fraction:0.###} of {examples.Count} examples leaves no examples for {(count == 0 ? "the reference" : "training")}");

        // Stream 2³² − 1 is no epoch's.
        HashSet<int> held = [.. DataOrder.Permutation(examples.Count, seed, uint.MaxValue).Take(count)];
        return ([.. examples.Where((_, i) => held.Contains(i))], [.. examples.Where((_, i) => !held.Contains(i))]);
    }

    /// <summary>Trains the reference, or continues to, and leaves it in <c>reference/model</c>.</summary>
    /// <param name="options">The run's settings.</param>
    /// <param name="resume">Use what an interrupted run left.</param>
    /// <returns>The folder of the finished model.</returns>
    /// <exception cref="UserException">See <see cref="Trainer.Run"/>.</exception>
    /// <exception cref="OperationCanceledException">See <see cref="Trainer.Run"/>.</exception>
    public static string Train(
        TrainingOptions options, IReadOnlyList<EncodedExample> examples, IBackend backend, bool resume, ITrainingObserver? observer, CancellationToken cancellation)
    {
        string folder = Path.Combine(options.Out, "reference");
        string finished = Path.Combine(folder, "model");
        if (resume && Directory.Exists(finished))
            return finished;

        observer?.StageBegan($"training the reference model on {examples.Count} examples");
        return PlainTuning.Train(options, examples, folder, backend, resume, observer, cancellation);
    }

    /// <summary>Loads a reference that <see cref="Train"/> left: with LoRA as the base with its adapter, which no storage type rounds.</summary>
    /// <param name="path">As <see cref="Train"/> returned it.</param>
    internal static LoadedModel Load(TrainingOptions options, string path, IBackend backend)
    {
        string adapter = Path.Combine(Path.GetDirectoryName(path)!, PlainTuning.AdapterName);
        return Directory.Exists(adapter) ? LoadedModel.Load(options.Model, backend, adapter: adapter) : LoadedModel.Load(path, backend);
    }
}
