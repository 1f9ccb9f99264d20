using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;
using Xunit;

namespace Forgetting.LlamaCpp.Tests;

/// <summary>
/// Small models of each family that have learnt a sequence by heart which only attention to more than the last tokens can continue, so that
/// the most probable token is far ahead of the next and rounding does not decide. Made once for all tests.
/// </summary>
[CollectionDefinition(Shared)]
public sealed class TinyModels : IDisposable, ICollectionFixture<TinyModels>
{
    /// <summary>The tests that share them.</summary>
    public const string Shared = "models";

    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<string, string> _made = [];

    /// <summary>Names of the models.</summary>
    internal static IReadOnlyDictionary<string, (ModelConfig Config, string Tokenizer)> All { get; } =
        new Dictionary<string, (ModelConfig, string)>
        {
            ["llama"] = (Llama(), TinyTokenizers.SentencePiece),
            ["llama3"] = (Llama3(), TinyTokenizers.Llama3),
            ["llama-biases"] =
                (Llama() with { QueryKeyValueBias = true, AttentionOutputBias = true, MlpBias = true }, TinyTokenizers.SmolLm),
            ["mistral"] = (Llama() with { Family = ModelFamilies.Mistral }, TinyTokenizers.SentencePiece),
            ["qwen2"] = (Qwen2(), TinyTokenizers.Qwen2),
            ["llama-yarn"] = (
                Llama() with { RopeTheta = 500, RopeScaling = YarnRopeScaling.From(4, 48) }, TinyTokenizers.SentencePiece),
            ["llama-linear"] = (Llama() with { RopeScaling = new LinearRopeScaling(4) }, TinyTokenizers.SentencePiece),
            ["qwen3"] = (Qwen3(), TinyTokenizers.Qwen2),
            ["gemma"] = (Gemma(ModelFamilies.Gemma), TinyTokenizers.Gemma),
            ["gemma2"] = (Gemma2(), TinyTokenizers.Gemma),
            ["gemma3"] = (Gemma3(), TinyTokenizers.Gemma),
            // llama.cpp looks for tokens of its own in files whose name has phi3 in it.
            ["phi"] = (Phi3(), TinyTokenizers.SentencePiece),
            ["phi-longrope"] = (LongRope(), TinyTokenizers.SentencePiece),
            ["gpt_neox"] = (NeoX(), TinyTokenizers.Gpt2),
            ["olmo2"] = (Olmo2(), TinyTokenizers.Gpt2),
            ["granite"] = (Granite(), TinyTokenizers.Gpt2),
            ["smollm3"] = (SmolLm3(), TinyTokenizers.SmolLm),
            ["gpt2"] = (Gpt2(), TinyTokenizers.VocabAndMerges),
            ["gpt2-untied"] = (Gpt2() with { TiedHead = false, IntermediateSize = 96 }, TinyTokenizers.Gpt2),
        };

    /// <summary>What the models have learnt: few different tokens, so that the last two do not tell the next.</summary>
    internal static int[] Sequence { get; } = Draw();

    /// <summary>Folder of a model.</summary>
    internal string this[string name]
    {
        get
        {
            lock (_made)
            {
                return _made.TryGetValue(name, out string? folder) ? folder : _made[name] = Make(name);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _folder.Dispose();

    private string Make(string name)
    {
        (ModelConfig config, string tokenizerKind) = All[name];
        string tokenizer = Path.Combine(_folder.Path, name, "tokenizer");
        int vocabulary = TinyTokenizers.Write(tokenizerKind, tokenizer);

        // Some rows more than tokens, as published models have.
        int end = tokenizerKind is TinyTokenizers.SentencePiece or TinyTokenizers.Gemma ? 2 : 0;
        config = config with { VocabularySize = vocabulary + 5, EosTokenIds = [end], BosTokenId = end };
        using var backend = new CpuBackend(2);
        TrainingOptions options = PretrainRun.DefaultOptions with
        {
            Out = Path.Combine(_folder.Path, name),
            Schedule = PretrainRun.DefaultOptions.Schedule with { BatchSize = 1, Steps = 250 },
            Optimizer = PretrainRun.DefaultOptions.Optimizer with { LearningRate = 5e-3, WeightDecay = 0 },
            Checkpoints = PretrainRun.DefaultOptions.Checkpoints with { Every = 0 },
        };
        var example = new EncodedExample { Index = 0, Ids = Sequence, Response = [.. Sequence.Select((_, i) => i > 0)] };
        return PretrainRun.Execute(config, [example], tokenizer, options, backend);
    }

    private static int[] Draw()
    {
        var random = new Random(4);
        return [.. Enumerable.Range(0, 130).Select(_ => 20 + random.Next(9))];
    }

    private static ModelConfig Llama() => new()
    {
        Family = ModelFamilies.Llama,
        VocabularySize = 0,
        HiddenSize = 64,
        IntermediateSize = 96,
        Layers = 2,
        Heads = 4,
        KeyValueHeads = 2,
        HeadSize = 16,
        ContextLength = 192,
        AttentionScale = 1 / Math.Sqrt(16),
    };

    private static ModelConfig Llama3() => Llama() with
    {
        RopeTheta = 500,
        RopeScaling = new Llama3RopeScaling(8, 1, 4, 64),
        TiedHead = true,
        KeyValueHeads = 4,
        HeadSize = 12,
        AttentionScale = 1 / Math.Sqrt(12),
    };

    private static ModelConfig Qwen2() => Llama() with
    {
        Family = ModelFamilies.Qwen2,
        QueryKeyValueBias = true,
        TiedHead = true,
        NormEpsilon = 1e-6,
        RopeTheta = 1e6,
    };

    private static ModelConfig Qwen3() => Llama() with
    {
        Family = ModelFamilies.Qwen3,
        QueryKeyNorm = QueryKeyNorm.Head,
        TiedHead = true,
        NormEpsilon = 1e-6,
        RopeTheta = 1e6,
        HeadSize = 24,
        AttentionScale = 1 / Math.Sqrt(24),
    };

    private static ModelConfig Olmo2() => Llama() with
    {
        Family = ModelFamilies.Olmo2,
        QueryKeyNorm = QueryKeyNorm.Projection,
        NormPlace = NormPlace.After,
        RopeTheta = 5e5,
    };

    private static ModelConfig Gemma(ModelFamily family) => Llama() with
    {
        Family = family,
        GainOffset = 1,
        EmbeddingScale = 8,
        Activation = ActivationKind.GeGluTanh,
        TiedHead = true,
        NormEpsilon = 1e-6,
        HeadSize = 24,
        AttentionScale = 1 / Math.Sqrt(24),
    };

    private static ModelConfig Gemma2() => Gemma(ModelFamilies.Gemma2) with
    {
        NormPlace = NormPlace.Both,
        Windows = [40, 0],
        ScoreCap = 3,
        LogitCap = 30,
    };

    // Five layers with a window and one without.
    private static ModelConfig Gemma3() => Gemma(ModelFamilies.Gemma3) with
    {
        NormPlace = NormPlace.Both,
        QueryKeyNorm = QueryKeyNorm.Head,
        Layers = 6,
        Windows = [40, 40, 40, 40, 40, 0],
        RopeTheta = 1e6,
        WindowRopeTheta = 10_000,
        RopeScaling = new LinearRopeScaling(8),
    };

    private static ModelConfig Phi3() => Llama() with { Family = ModelFamilies.Phi3, RotaryColumns = 12 };

    // As long as what llama.cpp is asked to hold, so that it takes the short factors too.
    private static ModelConfig LongRope() => Phi3() with
    {
        ContextLength = 1024,
        RopeScaling = new LongRopeScaling(
            [1, 1.1, 1.3, 1.7, 2.3, 3], [1, 2, 3, 4, 5, 6], 256, 1024, LongRopeScaling.DefaultAttention(256, 4)),
    };

    private static ModelConfig NeoX() => Gpt2() with
    {
        Family = ModelFamilies.GptNeoX,
        LearnedPositions = false,
        Activation = ActivationKind.Gelu,
        RotaryColumns = 4,
        ParallelBlocks = true,
        QueryKeyValueByHead = true,
        TiedHead = false,
    };

    private static ModelConfig Granite() => Llama() with
    {
        Family = ModelFamilies.Granite,
        EmbeddingScale = 3,
        AttentionScale = 0.2,
        ResidualScale = 0.9,
        LogitScale = 1 / 0.75,
        TiedHead = true,
    };

    private static ModelConfig SmolLm3() => Llama() with
    {
        Family = ModelFamilies.SmolLm3,
        Layers = 4,
        RotaryLayers = [true, true, true, false],
        RopeTheta = 2e6,
        TiedHead = true,
    };

    private static ModelConfig Gpt2() => new()
    {
        Family = ModelFamilies.Gpt2, LayerNorm = true, LearnedPositions = true,
        VocabularySize = 0,
        HiddenSize = 64,
        IntermediateSize = 256,
        Layers = 2,
        Heads = 4,
        KeyValueHeads = 4,
        HeadSize = 16,
        ContextLength = 192,
        AttentionScale = 1 / Math.Sqrt(16),
        Activation = ActivationKind.GeluTanh,
        QueryKeyValueBias = true,
        AttentionOutputBias = true,
        MlpBias = true,
        TiedHead = true,
    };
}
