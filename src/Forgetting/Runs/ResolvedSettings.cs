using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Backends.Selection;
using Forgetting.Core;
using Forgetting.Methods;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>
/// A run's settings with nothing left open: what depends on other settings, on the model and on a given adapter is filled in (ρ, the
/// held-out share where no other source of influence is given, exponents, the longest example).
/// </summary>
internal static class ResolvedSettings
{
    /// <summary>The settings with the device, element type and products of a backend, which "auto" left open.</summary>
    public static TrainingOptions On(IBackend backend, TrainingOptions options) => options with
    {
        Compute = options.Compute with
        {
            Device = backend.Name,
            Dtype = BackendFactory.DtypeOf(backend),
            Products = (backend as CpuBackend)?.Products ?? options.Compute.Products,
        },
    };

    /// <summary>Fills in what is open.</summary>
    /// <param name="options">The settings; those of the data are resolved.</param>
    /// <param name="config">The model's.</param>
    /// <param name="scores">Whether tokens are scored.</param>
    /// <exception cref="UserException">Settings of the adapter differ from those of the one that is given.</exception>
    public static TrainingOptions From(TrainingOptions options, ModelConfig config, bool scores)
    {
        Ascent ascent = options.ResolveAscent();
        bool source = options.TokenForgetting.Reference != null || options.TokenForgetting.ReferenceData != null
            || options.TokenForgetting.Scores != null;

        LoraConfig? continued = options.Adapter is null ? null : TrainedModel.AdapterConfig(options.Adapter);
        if (continued != null && options.Lora.Rank != continued.Rank && options.Lora.Rank != new TrainingOptions().Lora.Rank)
        {
            throw new UserException(
                $"lora-rank is {options.Lora.Rank} with an adapter of rank {continued.Rank}: {options.Adapter}; "
                + "expected lora-rank for a new adapter only");
        }

        // Through decimal, so that 0.1f is written as 0.1.
        return options with
        {
            Data = options.Data with
            {
                MaxLength = ExampleLoader.LongestExample(config, options),
                Template = File.Exists(options.Data.Template) ? Path.GetFullPath(options.Data.Template) : options.Data.Template,
            },
            Lora = options.Lora with
            {
                Rank = continued?.Rank ?? options.Lora.Rank,
                Alpha = continued?.Alpha ?? options.Lora.Alpha,
                Dropout = continued?.Dropout ?? options.Lora.Dropout,
                RankStabilized = continued?.RankStabilized ?? options.Lora.RankStabilized,
                Dora = continued?.Dora ?? options.Lora.Dora,
                Targets = continued?.Targets ?? options.Lora.Targets,
            },
            TokenForgetting = options.TokenForgetting with
            {
                Ascent = options.ForgetsTokens || options.Unlearns ? ascent.Kind : options.TokenForgetting.Ascent,
                AscentBeta = ascent.Kind is AscentKind.Weighted or AscentKind.SatImp or AscentKind.Npo or AscentKind.Belief
                    ? (double)(decimal)ascent.Beta
                    : null,
                AscentBeta2 = ascent.Kind is AscentKind.SatImp or AscentKind.Belief ? (double)(decimal)ascent.Beta2 : null,
                Rho = options.TokenForgetting.Rho ?? (options.TokenForgetting.Scores is null && options.TokenForgetting.LearnAbove is null
                    && scores ? Scores.DefaultRho : null),
                ReferenceFraction = options.TokenForgetting.ReferenceFraction
                    ?? (source || !scores ? null : ReferenceModel.DefaultFraction),
            },
            ForgetSet = options.ForgetSet with
            {
                ObjectiveBeta = options.ForgetsAnswers ? options.ForgetSet.ResolveBeta() : null,
                SteeringBlock = options.Steers ? options.ForgetSet.ResolveSteeringBlock(config.Layers) : options.ForgetSet.SteeringBlock,
            },
            Optimizer = options.Optimizer with
            {
                RegularizerWeight = options.Optimizer.Regularizer == RegularizerKind.None
                    ? options.Optimizer.RegularizerWeight : options.Optimizer.ResolveRegularizerWeight(),
            },
            Unlearning = options.Unlearning with
            {
                Fraction = options.Unlearns && options.Unlearning.Threshold is null
                    ? options.ResolveUnlearningFraction() : options.Unlearning.Fraction,
                Alpha = options.Unlearns ? options.Unlearning.Alpha ?? options.Optimizer.LearningRate : options.Unlearning.Alpha,
                Moments = options.Unlearns ? options.ResolveMoments() : options.Unlearning.Moments,
                Weight = options.Unlearns ? options.ResolveUnlearningWeight() : options.Unlearning.Weight,
            },
        };
    }
}
