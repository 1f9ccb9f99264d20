namespace Forgetting.Models;

/// <summary>Activations of the MLP.</summary>
internal enum ActivationKind
{
    /// <summary>silu(gate) ∘ up.</summary>
    SwiGlu,

    /// <summary>gelu(gate) ∘ up by GELU's tanh approximation.</summary>
    GeGluTanh,

    /// <summary>GELU by its tanh approximation ("gelu_new", "gelu_pytorch_tanh").</summary>
    GeluTanh,

    /// <summary>Exact GELU ("gelu").</summary>
    Gelu,
}

/// <summary>Where norms stand beside a block's layers.</summary>
internal enum NormPlace
{
    /// <summary>On what a layer reads: x + f(norm(x)).</summary>
    Before,

    /// <summary>On what a layer gives: x + norm(f(x)).</summary>
    After,

    /// <summary>On both: x + norm(f(norm(x))).</summary>
    Both,
}

/// <summary>RMSNorm of queries and keys before they are turned.</summary>
internal enum QueryKeyNorm
{
    /// <summary>None.</summary>
    None,

    /// <summary>Each head by itself, with one gain [1, D] for all.</summary>
    Head,

    /// <summary>All heads of a token together, with gains [1, H·D] and [1, G·D].</summary>
    Projection,
}

/// <summary>Rotary positions of a layer.</summary>
/// <param name="Theta">Base θ.</param>
/// <param name="Columns">How many columns of each head are turned, the first ones.</param>
/// <param name="Scaling">Scaling of the frequencies, or null.</param>
internal sealed record Rope(double Theta, int Columns, RopeScaling? Scaling);

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

    /// <summary>What is added to the gains of RMSNorm: 1 where files hold them as what they differ from 1 by.</summary>
    public double GainOffset { get; init; }

    /// <summary>Where the blocks' norms stand.</summary>
    public NormPlace NormPlace { get; init; }

    /// <summary>Attention and MLP read the same sum, each by a norm of its own: x + attention(norm(x)) + mlp(norm(x)).</summary>
    public bool ParallelBlocks { get; init; }

    /// <summary>A layer that makes q, k and v at once gives them head by head, [H, 3, D], and not one after the other.</summary>
    public bool QueryKeyValueByHead { get; init; }

    /// <summary>Norms of queries and keys.</summary>
    public QueryKeyNorm QueryKeyNorm { get; init; }

    /// <summary>Factor on the embedding, not on the head that is tied to it.</summary>
    public double EmbeddingScale { get; init; } = 1;

    /// <summary>Factor on what each layer adds to the residual stream.</summary>
    public double ResidualScale { get; init; } = 1;

    /// <summary>Factor on the logits.</summary>
    public double LogitScale { get; init; } = 1;

    /// <summary>Logits x become cap·tanh(x / cap); 0 for no cap.</summary>
    public double LogitCap { get; init; }

    /// <summary>Attention scores x become cap·tanh(x / cap); 0 for no cap.</summary>
    public double ScoreCap { get; init; }

    /// <summary>True for a learned position table, false for RoPE.</summary>
    public bool LearnedPositions { get; init; }

    /// <summary>MLP activation.</summary>
    public ActivationKind Activation { get; init; } = ActivationKind.SwiGlu;

    /// <summary>Base θ of RoPE.</summary>
    public double RopeTheta { get; init; } = 10_000;

    /// <summary>Scaling of RoPE's frequencies, or null.</summary>
    public RopeScaling? RopeScaling { get; init; }

    /// <summary>How many columns of each head RoPE turns, an even number; null for all.</summary>
    public int? RotaryColumns { get; init; }

    /// <summary>Base θ in layers with a window, whose frequencies are not scaled; null where they are as the others.</summary>
    public double? WindowRopeTheta { get; init; }

    /// <summary>Whether each block turns queries and keys; empty when all do.</summary>
    public IReadOnlyList<bool> RotaryLayers { get; init; } = [];

    /// <summary>Biases on q, k, v.</summary>
    public bool QueryKeyValueBias { get; init; }

    /// <summary>Bias on the attention output projection.</summary>
    public bool AttentionOutputBias { get; init; }

    /// <summary>Biases in the MLP.</summary>
    public bool MlpBias { get; init; }

    /// <summary>The head is the embedding.</summary>
    public bool TiedHead { get; init; }

    /// <summary>Whether the MLP has a gate.</summary>
    public bool HasGate => Activation is ActivationKind.SwiGlu or ActivationKind.GeGluTanh;

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

    /// <summary>A text of more tokens turns otherwise from its first token on (LongRoPE).</summary>
    public int TurnsOtherwiseFrom => RopeScaling is LongRopeScaling lengthened ? lengthened.OriginalContext : int.MaxValue;

    /// <summary>Rotary positions of one block, or null where it has none.</summary>
    public Rope? RopeOf(int layer)
    {
        if (LearnedPositions || (RotaryLayers.Count > 0 && !RotaryLayers[layer]))
            return null;

        int columns = RotaryColumns ?? HeadSize;
        return WindowRopeTheta is { } theta && WindowOf(layer) > 0
            ? new Rope(theta, columns, null)
            : new Rope(RopeTheta, columns, RopeScaling);
    }
}
