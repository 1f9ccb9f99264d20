using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// What attention reads: queries [T, H·D], keys and values [T, G·D], computed from x [T, C], and turned by their positions. They are
/// columns of one tensor [T, (H + 2G)·D], which one product computes, whether the checkpoint has three weights or one. Three tensors they
/// are only where norms read them whole, or where a checkpoint's heads have their q, k and v among each other.
/// </summary>
internal sealed class QueryKeyValue
{
    private readonly LinearGroup _layers; // three, or one
    private readonly bool _fused; // one
    private readonly bool _joined; // columns of one tensor
    private readonly HeadNorm? _queryNorm;
    private readonly HeadNorm? _keyNorm;
    private readonly AttentionShape _shape;
    private readonly int _layer;
    private readonly bool _byHead;

    public QueryKeyValue(ModuleBuilder builder, int layer, string block, AttentionShape shape)
    {
        ModelConfig config = builder.Config;
        ModuleNames names = builder.Names;
        _layer = layer;
        _shape = shape;
        _byHead = config.QueryKeyValueByHead;
        _fused = names.FusedQueryKeyValue is not null;
        _joined = config.QueryKeyNorm == QueryKeyNorm.None && !_byHead;
        _layers = _fused
            ? new LinearGroup(Layer(names.FusedQueryKeyValue!, JointWidth))
            : ModuleBuilder.Group(_joined, Layer(names.Query, QueryWidth), Layer(names.Key, KeyWidth), Layer(names.Value, KeyWidth));
        if (config.QueryKeyNorm != QueryKeyNorm.None)
        {
            _queryNorm = new HeadNorm(builder, $"{block}.{names.QueryNorm}", shape.Heads);
            _keyNorm = new HeadNorm(builder, $"{block}.{names.KeyNorm}", shape.KeyValueHeads);
        }

        Linear Layer(string name, int width) => builder.Linear($"{block}.{name}", config.HiddenSize, width, config.QueryKeyValueBias);
    }

    private int QueryWidth => _shape.Heads * _shape.HeadSize; // H·D

    private int KeyWidth => _shape.KeyValueHeads * _shape.HeadSize; // G·D

    private int JointWidth => QueryWidth + (2 * KeyWidth);

    /// <param name="x">[T, C].</param>
    /// <returns>Queries, keys and values, and memory [T, H·D] for what attention gives.</returns>
    public (AttentionInputs Inputs, Tensor Output) Forward(Pass pass, Tensor x)
    {
        AttentionInputs inputs = Take(pass);
        Tensor output;
        if (!_fused)
        {
            _layers.Forward(pass, x, inputs.Queries, inputs.Keys, inputs.Values);
            output = pass.Take(QueryWidth);
        }
        else if (_joined)
        {
            _layers.Forward(pass, x, inputs.All);
            output = pass.Take(QueryWidth);
        }
        else
        {
            Tensor all = pass.Take(JointWidth); // [T, (H + 2G)·D]
            _layers.Forward(pass, x, all);
            for (int i = 0; i < 3; i++)
            {
                (Tensor part, Tensor whole, int first) = Part(inputs, all, i);
                pass.Backend.CopyColumns(whole, first, part, 0, part.Columns);
            }

            // It is dead after the split, so its memory serves again.
            output = new Tensor(all.Pointer, new Shape(pass.Rows, QueryWidth), all.DType);
        }

        if (_queryNorm is not null)
            inputs = inputs with { Queries = _queryNorm.Forward(pass, Packed(inputs.Queries)) };

        if (_keyNorm is not null)
            inputs = inputs with { Keys = _keyNorm.Forward(pass, Packed(inputs.Keys)) };

        Turn(pass, inputs, inverse: false);
        return (inputs, output);
    }

    /// <summary>Memory for the gradients of what <see cref="Forward"/> gave.</summary>
    public AttentionInputs Take(Pass pass)
    {
        if (!_joined)
            return new(default, pass.Take(QueryWidth), pass.Take(KeyWidth), pass.Take(KeyWidth));

        Tensor all = pass.Take(JointWidth);
        return new(
            all, all.ColumnRange(0, QueryWidth), all.ColumnRange(QueryWidth, KeyWidth), all.ColumnRange(QueryWidth + KeyWidth, KeyWidth));
    }

    /// <param name="x">[T, C], as in the forward.</param>
    /// <param name="gradients">Those of the queries, keys and values; overwritten.</param>
    /// <param name="dX">[T, C], overwritten; or default where nobody needs it.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor x, AttentionInputs gradients, Tensor dX)
    {
        Turn(pass, gradients, inverse: true);
        if (_queryNorm is not null)
            gradients = gradients with { Queries = _queryNorm.Backward(pass, sink, Packed(gradients.Queries)) };

        if (_keyNorm is not null)
            gradients = gradients with { Keys = _keyNorm.Backward(pass, sink, Packed(gradients.Keys)) };

        if (!_fused)
        {
            _layers.Backward(pass, sink, x, dX, gradients.Queries, gradients.Keys, gradients.Values);
        }
        else if (_joined)
        {
            _layers.Backward(pass, sink, x, dX, gradients.All);
        }
        else
        {
            Tensor all = pass.Take(JointWidth); // [T, (H + 2G)·D]
            for (int i = 0; i < 3; i++)
            {
                (Tensor part, Tensor whole, int first) = Part(gradients, all, i);
                pass.Backend.CopyColumns(part, 0, whole, first, part.Columns);
            }

            _layers.Backward(pass, sink, x, dX, all);
        }
    }

    private static Tensor Packed(ColumnView view) => view.Whole;

    // Rows of q, k or v, those of the joint result, and the first column of these where they stand.
    private (Tensor Part, Tensor Whole, int First) Part(AttentionInputs inputs, Tensor all, int number)
    {
        Tensor part = Packed(number == 0 ? inputs.Queries : number == 1 ? inputs.Keys : inputs.Values);
        if (!_byHead)
            return (part, all, number == 0 ? 0 : QueryWidth + ((number - 1) * KeyWidth));

        int d = _shape.HeadSize;
        var heads = new Shape(part.Rows * _shape.Heads, d);
        return (part.Reshape(heads), all.Reshape(new Shape(heads.Rows, 3 * d)), number * d);
    }

    private void Turn(Pass pass, AttentionInputs inputs, bool inverse)
    {
        if (pass.Rotary(_layer) is not var (rotary, rows))
            return;

        if (_joined)
        {
            // Queries and keys are neighbours.
            pass.Backend.Rope(
                inputs.All.ColumnRange(0, QueryWidth + KeyWidth), rows, rotary.Cosine, rotary.Sine, _shape.HeadSize, inverse);
            return;
        }

        pass.Backend.Rope(inputs.Queries, rows, rotary.Cosine, rotary.Sine, _shape.HeadSize, inverse);
        pass.Backend.Rope(inputs.Keys, rows, rotary.Cosine, rotary.Sine, _shape.HeadSize, inverse);
    }
}

/// <summary>Queries, keys and values, or their gradients.</summary>
/// <param name="All">[T, (H + 2G)·D] the tensor whose columns they are, or default where they are three.</param>
/// <param name="Queries">[T, H·D].</param>
/// <param name="Keys">[T, G·D].</param>
/// <param name="Values">[T, G·D].</param>
internal readonly record struct AttentionInputs(Tensor All, ColumnView Queries, ColumnView Keys, ColumnView Values);
