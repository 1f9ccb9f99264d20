using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// Linear layers that read the same x, as queries, keys and values do. Where their weights lie end to end (<see cref="ParameterGroup"/>)
/// and their results are neighbouring columns, one product each way serves all of them; the same goes for their A, but for dropout, which
/// gives every layer an x of its own.
/// </summary>
internal sealed class LinearGroup
{
    private readonly Linear[] _layers;
    private readonly Linear[] _adapted;
    private readonly int _rank; // of all adapters together

    public LinearGroup(params Linear[] layers)
    {
        _layers = layers;
        _adapted = [.. layers.Where(layer => layer.ActiveAdapter is not null)];
        _rank = _adapted.Sum(layer => layer.ActiveAdapter!.Rank);
    }

    /// <param name="x">[T, in].</param>
    /// <param name="outputs">[T, out] of each layer, overwritten.</param>
    public void Forward(Pass pass, Tensor x, params ReadOnlySpan<ColumnView> outputs)
    {
        Tensor whole = Whole(outputs);
        if (!whole.IsEmpty)
        {
            pass.Backend.Gemm(x, false, _layers[0].Weight.Group.Value, true, whole);
        }
        else
        {
            for (int i = 0; i < _layers.Length; i++)
            {
                _layers[i].ForwardBase(pass, x, outputs[i]);
            }
        }

        ForwardDown(pass, x);
        for (int i = 0; i < _layers.Length; i++)
        {
            _layers[i].ForwardUp(pass, outputs[i]);
            if (whole.IsEmpty)
                _layers[i].ForwardEnd(pass, outputs[i]);
            else
                _layers[i].ForwardMagnitude(pass, outputs[i]);
        }

        if (!whole.IsEmpty && _layers[0].Bias is { } bias)
            pass.Backend.AddBias(whole, bias.Group.Value);
    }

    /// <summary>Hands the gradients of all W, b, A and B to the sink and computes the input's.</summary>
    /// <param name="x">[T, in], as in the forward.</param>
    /// <param name="dX">[T, in], overwritten, or default where nobody needs it.</param>
    /// <param name="gradients">[T, out] of each layer; overwritten where a layer has magnitudes.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor x, Tensor dX, params ReadOnlySpan<ColumnView> gradients)
    {
        Tensor whole = Whole(gradients);
        if (!whole.IsEmpty && _layers[0].Bias is { } bias)
            Vectors(pass, sink, bias.Group, whole);

        for (int i = 0; i < _layers.Length; i++)
        {
            if (whole.IsEmpty)
                _layers[i].BackwardBias(pass, sink, gradients[i]);

            _layers[i].BackwardMagnitude(pass, sink, gradients[i], gradients[i]);
        }

        if (!whole.IsEmpty)
        {
            Matrices(pass, sink, _layers[0].Weight.Group, x, whole);
            if (!dX.IsEmpty)
                pass.Backend.Gemm(whole, false, _layers[0].Weight.Group.Value, false, dX);
        }
        else
        {
            for (int i = 0; i < _layers.Length; i++)
            {
                _layers[i].BackwardBase(pass, sink, x, gradients[i], dX, add: i > 0);
            }
        }

        if (Down(pass) is { } down)
        {
            BackwardAdapters(pass, sink, down, x, dX, gradients);
            return;
        }

        for (int i = 0; i < _layers.Length; i++)
        {
            _layers[i].BackwardAdapter(pass, sink, x, gradients[i], dX);
        }
    }

    // The tensor [T, Σ out] of which the views are all columns, if the weights lie end to end; else default.
    private Tensor Whole(ReadOnlySpan<ColumnView> columns) =>
        _layers[0].Weight.Group.Parameters.Count == _layers.Length ? ColumnView.Joined(columns) : default;

    // The A of all adapted layers, if they lie end to end and read the same; else null.
    private ParameterGroup? Down(Pass pass) =>
        _adapted.Length > 0 && _adapted[0].ActiveAdapter is { } lora && lora.A.Group.Parameters.Count == _adapted.Length
            && lora.Mask(pass) is null ? lora.A.Group : null;

    private void ForwardDown(Pass pass, Tensor x)
    {
        if (Down(pass) is not { } down)
        {
            foreach (Linear layer in _adapted)
            {
                layer.ForwardDown(pass, x);
            }

            return;
        }

        Tensor low = pass.Take(_rank); // [T, Σ r]
        pass.Backend.Gemm(x, false, down.Value, true, low, alpha: _adapted[0].ActiveAdapter!.Scale);
        int column = 0;
        for (int i = 0; i < _adapted.Length; i++)
        {
            int rank = down.Parameters[i].Shape.Rows;
            _adapted[i].TakeDown(low.ColumnRange(column, rank));
            column += rank;
        }
    }

    private void BackwardAdapters(
        Pass pass, IGradientSink sink, ParameterGroup down, Tensor x, Tensor dX, ReadOnlySpan<ColumnView> gradients)
    {
        ArenaMark mark = pass.Arena.Mark();
        Tensor dLow = pass.Take(_rank); // [T, Σ r]
        int column = 0;
        for (int i = 0; i < _layers.Length; i++)
        {
            if (_layers[i].ActiveAdapter is { } lora)
            {
                _layers[i].BackwardUp(pass, sink, gradients[i], dLow.ColumnRange(column, lora.Rank));
                column += lora.Rank;
            }
        }

        Matrices(pass, sink, down, x, dLow);
        if (!dX.IsEmpty)
            pass.Backend.Gemm(dLow, false, down.Value, false, dX, beta: 1);

        pass.Arena.Release(mark);
    }

    // The gradients of weights whose results are dY's columns: together if the sink wants and takes them so.
    private static void Matrices(Pass pass, IGradientSink sink, ParameterGroup weights, Tensor x, Tensor dY)
    {
        if (WantsAll(sink, weights) && sink.Matrices(weights, x, dY, pass.Offsets))
            return;

        int column = 0;
        for (int i = 0; i < weights.Parameters.Count; i++)
        {
            Parameter weight = weights.Parameters[i];
            if (sink.Wants(weight))
                sink.Matrix(weight, x, dY.ColumnRange(column, weight.Shape.Rows), pass.Offsets);

            column += weight.Shape.Rows;
        }
    }

    private static void Vectors(Pass pass, IGradientSink sink, ParameterGroup biases, Tensor dY)
    {
        if (WantsAll(sink, biases) && sink.Vectors(biases, dY, pass.Offsets))
            return;

        int column = 0;
        for (int i = 0; i < biases.Parameters.Count; i++)
        {
            Parameter bias = biases.Parameters[i];
            if (sink.Wants(bias))
                sink.Vector(bias, dY.ColumnRange(column, bias.Shape.Columns), pass.Offsets);

            column += bias.Shape.Columns;
        }
    }

    private static bool WantsAll(IGradientSink sink, ParameterGroup group)
    {
        for (int i = 0; i < group.Parameters.Count; i++)
        {
            if (!sink.Wants(group.Parameters[i]))
                return false;
        }

        return true;
    }
}
