using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// y = down(silu(gate(x)) ∘ up(x)), or with GELU for silu, or y = down(GELU(up(x))) where there is no gate. I is the inner width.
/// </summary>
internal sealed class MlpLayer
{
    private readonly Linear? _fused; // gate and up side by side, instead of the next two
    private readonly Linear? _gate;
    private readonly Linear? _up;
    private readonly Linear _down;
    private readonly int _width;
    private readonly bool _hasGate;
    private readonly bool _tanh; // GELU without a gate is the approximation
    private readonly bool _gelu; // the gate is GELU

    private Tensor _gated; // [T, I] gate(x)
    private Tensor _raised; // [T, I] up(x)
    private Tensor _active; // [T, I] input of down

    public MlpLayer(ModuleBuilder builder, string block)
    {
        ModelConfig config = builder.Config;
        _width = config.IntermediateSize;
        _tanh = config.Activation == ActivationKind.GeluTanh;
        _gelu = config.Activation == ActivationKind.GeGluTanh;
        _hasGate = config.HasGate;
        if (builder.Names.FusedGateUp is { } fused)
        {
            _fused = builder.Linear($"{block}.{fused}", config.HiddenSize, 2 * _width, config.MlpBias);
        }
        else
        {
            _gate = _hasGate ? builder.Linear($"{block}.{builder.Names.Gate}", config.HiddenSize, _width, config.MlpBias) : null;
            _up = builder.Linear($"{block}.{builder.Names.Up}", config.HiddenSize, _width, config.MlpBias);
        }

        _down = builder.Linear($"{block}.{builder.Names.Down}", _width, config.HiddenSize, config.MlpBias);
    }

    /// <summary>The layer that writes to the residual stream.</summary>
    public Linear Output => _down;

    /// <param name="x">[T, C].</param>
    /// <param name="y">[T, C], or default where only what the backward reads is needed.</param>
    public void Forward(Pass pass, Tensor x, Tensor y)
    {
        IBackend backend = pass.Backend;
        _active = Raise(pass, x);
        if (_gelu)
        {
            backend.GeGlu(_gated, _raised, _active);
        }
        else if (_hasGate)
        {
            backend.SwiGlu(_gated, _raised, _active);
        }
        else
        {
            backend.Gelu(_raised, _active, _tanh);
        }

        _down.Forward(pass, _active, y);
    }

    /// <param name="x">[T, C], as in the forward.</param>
    /// <param name="dY">[T, C].</param>
    /// <param name="dX">[T, C], overwritten.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor x, Tensor dY, Tensor dX)
    {
        IBackend backend = pass.Backend;
        ArenaMark mark = pass.Arena.Mark();
        Tensor dActive = pass.Take(_width); // [T, I]
        _down.Backward(pass, sink, _active, dY, dActive);

        // gate(x) and up(x) are not needed any more: their gradients take their place.
        if (_gelu)
        {
            backend.GeGluBackward(_gated, _raised, dActive, _gated, _raised);
        }
        else if (_hasGate)
        {
            backend.SwiGluBackward(_gated, _raised, dActive, _gated, _raised);
        }
        else
        {
            backend.GeluBackward(_raised, dActive, _raised, _tanh);
        }

        pass.Arena.Release(mark);
        if (_fused is null)
        {
            _up!.Backward(pass, sink, x, _raised, dX);
            _gate?.Backward(pass, sink, x, _gated, dX, add: true);
            return;
        }

        Tensor joint = pass.Take(2 * _width); // [T, 2I]
        backend.CopyColumns(_gated, 0, joint, 0, _width);
        backend.CopyColumns(_raised, 0, joint, _width, _width);
        _fused.Backward(pass, sink, x, joint, dX);
        pass.Arena.Release(mark);
    }

    // Computes gate(x) and up(x); returns where their product [T, I] goes.
    private Tensor Raise(Pass pass, Tensor x)
    {
        _raised = pass.Take(_width); // [T, I]
        if (_fused is null)
        {
            _up!.Forward(pass, x, _raised);
            if (_gate is not null)
            {
                _gated = pass.Take(_width); // [T, I]
                _gate.Forward(pass, x, _gated);
            }

            return pass.Take(_width);
        }

        _gated = pass.Take(_width); // [T, I]
        Tensor joint = pass.Take(2 * _width); // [T, 2I]
        _fused.Forward(pass, x, joint);
        pass.Backend.CopyColumns(joint, 0, _gated, 0, _width);
        pass.Backend.CopyColumns(joint, _width, _raised, 0, _width);

        // The joint result is dead after the split, so its memory serves again.
        return new Tensor(joint.Pointer, new Shape(pass.Rows, _width), joint.DType);
    }
}
