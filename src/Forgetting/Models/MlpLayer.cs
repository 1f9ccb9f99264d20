using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// y = down(silu(gate(x)) ∘ up(x)), or with GELU for silu, or y = down(GELU(up(x))) where there is no gate. I is the inner width.
/// </summary>
internal sealed class MlpLayer
{
    private readonly LinearGroup _raise; // gate and up as two layers, or one; or up
    private readonly bool _apart; // two
    private readonly Linear _down;
    private readonly int _width;
    private readonly bool _hasGate;
    private readonly bool _tanh; // GELU without a gate is the approximation
    private readonly bool _gelu; // the gate is GELU

    private Tensor _joint; // [T, 2I] gate(x), up(x) side by side; [T, I] up(x) where there is no gate
    private Tensor _active; // [T, I] input of down

    public MlpLayer(ModuleBuilder builder, string block)
    {
        ModelConfig config = builder.Config;
        _width = config.IntermediateSize;
        _tanh = config.Activation == ActivationKind.GeluTanh;
        _gelu = config.Activation == ActivationKind.GeGluTanh;
        _hasGate = config.HasGate;
        _apart = _hasGate && builder.Names.FusedGateUp is null;
        _raise = _apart
            ? ModuleBuilder.Group(joined: true, Layer(builder.Names.Gate, _width), Layer(builder.Names.Up, _width))
            : new LinearGroup(Layer(builder.Names.FusedGateUp ?? builder.Names.Up, JointWidth));
        _down = builder.Linear($"{block}.{builder.Names.Down}", _width, config.HiddenSize, config.MlpBias);

        Linear Layer(string name, int width) => builder.Linear($"{block}.{name}", config.HiddenSize, width, config.MlpBias);
    }

    /// <summary>The layer that writes to the residual stream.</summary>
    public Linear Output => _down;

    private int JointWidth => _hasGate ? 2 * _width : _width;

    private ColumnView Gated => _joint.ColumnRange(0, _width); // [T, I] gate(x)

    private ColumnView Raised => _joint.ColumnRange(_width, _width); // [T, I] up(x) where there is a gate

    /// <param name="x">[T, C].</param>
    /// <param name="y">[T, C], or default where only what the backward reads is needed.</param>
    public void Forward(Pass pass, Tensor x, Tensor y)
    {
        IBackend backend = pass.Backend;
        _joint = pass.Take(JointWidth);
        if (_apart)
        {
            _raise.Forward(pass, x, Gated, Raised);
        }
        else
        {
            _raise.Forward(pass, x, _joint);
        }

        _active = pass.Take(_width);
        if (_gelu)
        {
            backend.GeGlu(Gated, Raised, _active);
        }
        else if (_hasGate)
        {
            backend.SwiGlu(Gated, Raised, _active);
        }
        else
        {
            backend.Gelu(_joint, _active, _tanh);
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
            backend.GeGluBackward(Gated, Raised, dActive, Gated, Raised);
        }
        else if (_hasGate)
        {
            backend.SwiGluBackward(Gated, Raised, dActive, Gated, Raised);
        }
        else
        {
            backend.GeluBackward(_joint, dActive, _joint, _tanh);
        }

        pass.Arena.Release(mark);
        if (_apart)
        {
            _raise.Backward(pass, sink, x, dX, Gated, Raised);
        }
        else
        {
            _raise.Backward(pass, sink, x, dX, _joint);
        }
    }
}
