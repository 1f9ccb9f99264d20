namespace Forgetting.Models;

/// <summary>Activations of the MLP.</summary>
internal enum ActivationKind
{
    /// <summary>silu(gate) ∘ up.</summary>
    SwiGlu,

    /// <summary>GELU by its tanh approximation ("gelu_new", "gelu_pytorch_tanh").</summary>
    GeluTanh,

    /// <summary>Exact GELU ("gelu").</summary>
    Gelu,
}

/// <summary>Llama-3's stretching of low RoPE frequencies.</summary>
internal sealed record RopeScaling(double Factor, double LowFrequencyFactor, double HighFrequencyFactor, int OriginalContext);

/// <summary>
/// Everything the decoder must know of a checkpoint; one record serves all families, since norm, position, activation, bias and tying are
/// configuration. Made from <c>config.json</c> by its <see cref="ModelFamily"/>.
/// </summary>
internal sealed record ModelConfig
{
    /// <summary>Family, which fixes tensor names and layout in files.</summary>
    public required ModelFamily Family { get; init; }

    /// <summary>Rows of the embedding.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Width C of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Inner width of the MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key-value heads.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Columns of a head; need not be HiddenSize / Heads.</summary>
    public required int HeadSize { get; init; }

    /// <summary>Most positions.</summary>
    public required int ContextLength { get; init; }

    /// <summary>ε of the norms.</summary>
    public double NormEpsilon { get; init; } = 1e-5;

    /// <summary>True for LayerNorm, false for RMSNorm.</summary>
    public bool LayerNorm { get; init; }

    /// <summary>True for a learned position table, false for RoPE.</summary>
    public bool LearnedPositions { get; init; }

    /// <summary>MLP activation.</summary>
    public ActivationKind Activation { get; init; } = ActivationKind.SwiGlu;

    /// <summary>Base θ of RoPE.</summary>
    public double RopeTheta { get; init; } = 10_000;

    /// <summary>Llama-3 scaling, or null.</summary>
    public RopeScaling? RopeScaling { get; init; }

    /// <summary>Biases on q, k, v.</summary>
    public bool QueryKeyValueBias { get; init; }

    /// <summary>Bias on the attention output projection.</summary>
    public bool AttentionOutputBias { get; init; }

    /// <summary>Biases in the MLP.</summary>
    public bool MlpBias { get; init; }

    /// <summary>The head is the embedding.</summary>
    public bool TiedHead { get; init; }

    /// <summary>Factor on attention scores.</summary>
    public double AttentionScale { get; init; }

    /// <summary>Sliding window of each block, 0 for full attention; empty when all are full.</summary>
    public IReadOnlyList<int> Windows { get; init; } = [];

    /// <summary>Id put before a text, or null.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>Ids that end a generation; the first is the one appended to training text.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];

    /// <summary>Window of one block.</summary>
    public int WindowOf(int layer) => Windows.Count == 0 ? 0 : Windows[layer];
}
