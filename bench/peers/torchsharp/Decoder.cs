using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Forgetting.Peers;

/// <summary>What a block needs to know of where its tokens stand.</summary>
/// <param name="Start">Place of the first token.</param>
/// <param name="Cosine">[T, D/2], or null without rotary positions.</param>
/// <param name="Mask">[T, S] added to the scores of a part of a sequence; null for a whole one, and for a single token.</param>
internal sealed record Places(int Start, Tensor? Cosine, Tensor? Sine, Tensor? Mask);

/// <summary>Decoder in plain torch.nn: Llama's blocks or GPT-2's, with a tied head and random weights.</summary>
internal sealed class Decoder : Module
{
    private readonly Workload _workload;
    private readonly Embedding _embedding;
    private readonly Embedding? _positions;
    private readonly ModuleList<Block> _blocks;
    private readonly Module<Tensor, Tensor> _norm;
    private readonly Tensor _mask;
    private readonly Tensor? _cosine;
    private readonly Tensor? _sine;

    public Decoder(Workload workload)
        : base("decoder")
    {
        _workload = workload;
        _embedding = Embedding(workload.Vocabulary, workload.Dim);
        _positions = workload.Gpt2 ? Embedding(workload.Length, workload.Dim) : null;
        _blocks = new ModuleList<Block>([.. Enumerable.Range(0, workload.Layers).Select(_ => new Block(workload))]);
        _norm = Norm(workload);
        RegisterComponents();
        _mask = full([workload.Length, workload.Length], float.NegativeInfinity).triu(1).DetachFromDisposeScope();
        if (!workload.Gpt2)
        {
            int size = workload.Dim / workload.Heads;
            using var scope = NewDisposeScope();
            Tensor angles = arange(workload.Length).unsqueeze(1) * pow(10000.0, -(arange(0, size, 2).to(float32) / size));
            _cosine = angles.cos().DetachFromDisposeScope();
            _sine = angles.sin().DetachFromDisposeScope();
        }

        foreach ((string name, Parameter parameter) in named_parameters())
        {
            if (parameter.dim() == 2 && !name.EndsWith("_b", StringComparison.Ordinal))
                init.normal_(parameter, std: 0.02);
            if (workload.LoraRank > 0)
                parameter.requires_grad = name.EndsWith("_a", StringComparison.Ordinal) || name.EndsWith("_b", StringComparison.Ordinal);
        }
    }

    /// <summary>Final hidden states [B, T, C] of the tokens at places <paramref name="start"/> and on.</summary>
    public Tensor Hidden(Tensor ids, int start = 0, (Tensor Keys, Tensor Values)[]? caches = null)
    {
        int length = (int)ids.shape[1], end = start + length;
        Tensor x = _embedding.forward(ids);
        if (_positions is not null)
            x += _positions.weight![start..end];
        var places = new Places(
            start, _cosine?[start..end], _sine?[start..end], start == 0 || length == 1 ? null : _mask[start..end, ..end]);
        for (int i = 0; i < _blocks.Count; i++)
            x = _blocks[i].Forward(x, places, caches?[i]);
        return _norm.forward(x);
    }

    public Tensor Logits(Tensor hidden) => functional.linear(hidden, _embedding.weight!);

    /// <summary>
    /// Cross-entropy of every token but each sequence's first. The last position predicts nothing and does not reach the head.
    /// </summary>
    public Tensor Loss(Tensor ids, Reduction reduction = Reduction.Mean) =>
        functional.cross_entropy(
            Logits(Hidden(ids)[.., ..^1]).flatten(0, 1), ids[.., 1..].flatten(), reduction: reduction);

    /// <summary>Room for the keys and values of every block: [B, H, length, D] each.</summary>
    public (Tensor Keys, Tensor Values)[] Caches(int batch, int length)
    {
        long[] shape = [batch, _workload.Heads, length, _workload.Dim / _workload.Heads];
        return [.. Enumerable.Range(0, _workload.Layers).Select(_ => (zeros(shape), zeros(shape)))];
    }

    internal static Module<Tensor, Tensor> Norm(Workload workload) =>
        workload.Gpt2 ? LayerNorm(workload.Dim) : new RmsNorm(workload.Dim);
}

/// <summary>x·rstd·weight by PyTorch's own fused operation.</summary>
internal sealed class RmsNorm : Module<Tensor, Tensor>
{
    private readonly Parameter _weight;

    public RmsNorm(int dim)
        : base("norm")
    {
        _weight = new Parameter(ones(dim));
        RegisterComponents();
    }

    public override Tensor forward(Tensor x) => x * rsqrt(x.square().mean([-1], keepdim: true) + 1e-5) * _weight;
}

/// <summary>A linear layer, with a frozen weight and a trainable low-rank part where a rank is given.</summary>
internal sealed class Projection : Module<Tensor, Tensor>
{
    private readonly Parameter _weight;
    private readonly Parameter? _bias;
    private readonly Parameter? _a;
    private readonly Parameter? _b;
    private readonly double _scale;

    public Projection(Workload workload, int inputs, int outputs)
        : base("projection")
    {
        _weight = new Parameter(empty(outputs, inputs));
        _bias = workload.Gpt2 ? new Parameter(zeros(outputs)) : null;
        if (workload.LoraRank > 0)
        {
            _a = new Parameter(empty(workload.LoraRank, inputs));
            _b = new Parameter(zeros(outputs, workload.LoraRank));
            _scale = 16.0 / workload.LoraRank;
        }

        RegisterComponents();
    }

    public override Tensor forward(Tensor x)
    {
        Tensor y = functional.linear(x, _weight, _bias);
        return _a is null ? y : y + functional.linear(functional.linear(x, _a) * _scale, _b!);
    }
}

/// <summary>Attention and feed-forward, each behind a norm and added to the stream.</summary>
internal sealed class Block : Module
{
    private readonly Module<Tensor, Tensor> _attentionNorm;
    private readonly Module<Tensor, Tensor> _mlpNorm;
    private readonly ModuleList<Projection> _qkv;
    private readonly Projection _out;
    private readonly Projection? _gate;
    private readonly Projection _up;
    private readonly Projection _down;
    private readonly int _heads;

    public Block(Workload workload)
        : base("block")
    {
        (int dim, int mlp) = (workload.Dim, workload.Mlp);
        _heads = workload.Heads;
        _attentionNorm = Decoder.Norm(workload);
        _mlpNorm = Decoder.Norm(workload);

        // One product for query, key and value; Llama's adapters are separate, so there the products are too.
        bool fused = workload.LoraRank == 0 || workload.Gpt2;
        _qkv = new ModuleList<Projection>(
            fused ? [new Projection(workload, dim, 3 * dim)] : [.. Enumerable.Range(0, 3).Select(_ => new Projection(workload, dim, dim))]);
        _out = new Projection(workload, dim, dim);
        _gate = workload.Gpt2 ? null : new Projection(workload, dim, mlp);
        _up = new Projection(workload, dim, mlp);
        _down = new Projection(workload, mlp, dim);
        RegisterComponents();
    }

    public Tensor Forward(Tensor x, Places places, (Tensor Keys, Tensor Values)? cache)
    {
        x += Attention(_attentionNorm.forward(x), places, cache);
        Tensor normed = _mlpNorm.forward(x);
        Tensor inner = _gate is null ? functional.gelu(_up.forward(normed), TorchSharp.Modules.GELU.Approximate.tanh)
            : functional.silu(_gate.forward(normed)) * _up.forward(normed);
        return x + _down.forward(inner);
    }

    private Tensor Attention(Tensor x, Places places, (Tensor Keys, Tensor Values)? cache)
    {
        (long batch, long length, long dim) = (x.shape[0], x.shape[1], x.shape[2]);
        Tensor[] parts = _qkv.Count == 3 ? [.. _qkv.Select(p => p.forward(x))] : _qkv[0].forward(x).chunk(3, -1);
        Tensor[] heads = [.. parts.Select(p => p.view(batch, length, _heads, -1).transpose(1, 2))];
        (Tensor q, Tensor k, Tensor v) = (heads[0], heads[1], heads[2]);
        if (places.Cosine is not null)
            (q, k) = (Rotate(q, places), Rotate(k, places));
        if (cache is (Tensor keys, Tensor values))
        {
            int end = places.Start + (int)length;
            keys[.., .., places.Start..end] = k;
            values[.., .., places.Start..end] = v;
            (k, v) = (keys[.., .., ..end], values[.., .., ..end]);
        }

        bool whole = places.Mask is null && length > 1;
        Tensor y = functional.scaled_dot_product_attention(q, k, v, attn_mask: places.Mask, is_casual: whole);
        return _out.forward(y.transpose(1, 2).reshape(batch, length, dim));
    }

    private static Tensor Rotate(Tensor x, Places places)
    {
        Tensor[] halves = x.chunk(2, -1);
        (Tensor first, Tensor second) = (halves[0], halves[1]);
        return cat([(first * places.Cosine!) - (second * places.Sine!), (second * places.Cosine!) + (first * places.Sine!)], -1);
    }
}
