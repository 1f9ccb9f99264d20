using Forgetting.Backends.Selection;
using Forgetting.Core;
using Forgetting.Methods;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>What fits on a card: of one way to tune, the largest batches and the longest text.</summary>
/// <param name="Tuning">What is trained, and how.</param>
/// <param name="Held">Bytes of weights, gradients, masters and moments; what a batch takes comes on top.</param>
/// <param name="Batches">Most texts at once of each of the asked lengths; 0 where not even one fits.</param>
/// <param name="Longest">Tokens of the longest single text, in steps of 64; 0 where none fits.</param>
internal sealed record CardFit(string Tuning, long Held, IReadOnlyList<int> Batches, int Longest)
{
    /// <summary>Bytes of a card that are left to its driver and libraries.</summary>
    public const long Reserve = 512L << 20;

    // Nobody asks for more at once, and a plan takes longer the more there is.
    private const int MostTexts = 256;
    private const int LengthStep = 64;

    private static readonly int[] s_lengths = [512, 1024, 2048, 4096, 8192];

    /// <summary>Lengths that batches are given for, up to the model's context.</summary>
    public static IReadOnlyList<int> Lengths(ModelConfig config)
    {
        int[] within = [.. s_lengths.Where(length => length <= config.ContextLength)];
        return within.Length > 0 ? within : [config.ContextLength];
    }

    /// <summary>All weights and an adapter, each as it is and with what takes less.</summary>
    /// <param name="options">Rank of the adapter, recomputation, and the type on the card: bf16 unless fp32 is given.</param>
    /// <param name="bytes">Memory of the card.</param>
    /// <exception cref="UserException">The adapter does not fit the model, or there is no such type.</exception>
    public static IReadOnlyList<CardFit> Create(ModelConfig config, TrainingOptions options, long bytes)
    {
        DType type = BackendFactory.Describe("cuda", options.Compute.Dtype).StorageType;
        int rank = options.Lora.Rank > 0 ? options.Lora.Rank : new LoraSettings().Rank;
        TrainingOptions full = options with
        {
            Method = TrainingMethod.Named("full"),
            Lora = options.Lora with { Rank = 0, BaseDtype = null },
            Optimizer = options.Optimizer with { Kind = "adamw" },
        };
        TrainingOptions small = full with { Optimizer = full.Optimizer with { Kind = "adamw8bit" } };
        TrainingOptions narrow = small with { Optimizer = small.Optimizer with { GradientDtype = "bf16", NoMasters = true } };
        TrainingOptions lora = full with { Lora = full.Lora with { Rank = rank } };
        return
        [
            Of("all weights", full), Of("all weights, 8-bit AdamW", small),
            .. type == DType.BFloat16 ? new[] { Of("the same, bf16 alone", narrow) } : [],
            Of($"LoRA r {rank}", lora), Of($"LoRA r {rank} over NF4", lora with { Lora = lora.Lora with { BaseDtype = "nf4" } }),
        ];

        CardFit Of(string tuning, TrainingOptions one)
        {
            MemoryPlan smallest = Plan(one, 1, LengthStep);
            List<int> batches = [];
            foreach (int length in Lengths(config))
            {
                // Longer texts are no more.
                batches.Add(Most(batches is [.., var shorter] ? shorter : MostTexts, texts => Fits(one, texts, length)));
            }

            return new CardFit(
                tuning, smallest.Weights + smallest.State, batches,
                LengthStep * Most(config.ContextLength / LengthStep, steps => Fits(one, 1, steps * LengthStep)));
        }

        bool Fits(TrainingOptions one, int texts, int length) => Plan(one, texts, length).Peak + Reserve <= bytes;

        MemoryPlan Plan(TrainingOptions one, int texts, int length)
        {
            TrainingOptions sized = one with
            {
                Data = one.Data with { MaxLength = length },
                Schedule = one.Schedule with { BatchSize = texts },
                Compute = one.Compute with { MicroBatchTokens = texts * length },
            };
            return MemoryPlan.Create(config, sized, "cuda", type, TrainedModel.NewAdapter(sized, config));
        }
    }

    // The largest number up to the most that holds, where every smaller one does too.
    private static int Most(int most, Func<int, bool> holds)
    {
        int low = 0, high = 1;
        while (high <= most && holds(high))
        {
            (low, high) = (high, 2 * high);
        }

        high = Math.Min(high, most + 1);
        while (high - low > 1)
        {
            int middle = (low + high) / 2;
            (low, high) = holds(middle) ? (middle, high) : (low, middle);
        }

        return low;
    }
}
