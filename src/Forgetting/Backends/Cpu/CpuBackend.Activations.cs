using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <summary>
    /// What happens to elements i … i + lanes − 1 of gate, up and their gradients, and j … of the other tensors, lanes being 8 except at
    /// the end of a row.
    /// </summary>
    private interface IGated
    {
        void Apply(long i, long j, int lanes);
    }

    /// <inheritdoc/>
    public void SwiGlu(ColumnView gate, ColumnView up, Tensor y)
    {
        Contract.Gated(gate, up, y);
        ForEachGated(new SwiGluForward(Floats(gate), Floats(up), Output(y)), y.Shape, gate.Stride);
    }

    /// <inheritdoc/>
    public void SwiGluBackward(ColumnView gate, ColumnView up, Tensor dY, ColumnView dGate, ColumnView dUp)
    {
        Contract.GatedBackward(gate, up, dY, dGate, dUp);
        ForEachGated(new SwiGluGradient(Floats(gate), Floats(up), Floats(dY), Output(dGate), Output(dUp)), dY.Shape, gate.Stride);
    }

    /// <inheritdoc/>
    public void GeGlu(ColumnView gate, ColumnView up, Tensor y)
    {
        Contract.Gated(gate, up, y);
        ForEachGated(new GeGluForward(Floats(gate), Floats(up), Output(y)), y.Shape, gate.Stride);
    }

    /// <inheritdoc/>
    public void GeGluBackward(ColumnView gate, ColumnView up, Tensor dY, ColumnView dGate, ColumnView dUp)
    {
        Contract.GatedBackward(gate, up, dY, dGate, dUp);
        ForEachGated(new GeGluGradient(Floats(gate), Floats(up), Floats(dY), Output(dGate), Output(dUp)), dY.Shape, gate.Stride);
    }

    /// <inheritdoc/>
    public void SoftCap(Tensor x, Tensor y, float cap)
    {
        Contract.Activation(x, y);
        ForEach(new SoftCapForward(Floats(x), Output(y), cap), y.Count);
    }

    /// <inheritdoc/>
    public void SoftCapBackward(Tensor x, Tensor dY, Tensor dX, float cap)
    {
        Contract.ActivationBackward(x, dY, dX);
        ForEach(new SoftCapGradient(Floats(x), Floats(dY), Output(dX), cap), dX.Count);
    }

    /// <inheritdoc/>
    public void Gelu(Tensor x, Tensor y, bool tanh)
    {
        Contract.Activation(x, y);
        if (tanh)
        {
            ForEach(new GeluTanhForward(Floats(x), Output(y)), y.Count);
        }
        else
        {
            ForEach(new GeluForward(Floats(x), Output(y)), y.Count);
        }
    }

    /// <inheritdoc/>
    public void GeluBackward(Tensor x, Tensor dY, Tensor dX, bool tanh)
    {
        Contract.ActivationBackward(x, dY, dX);
        if (tanh)
        {
            ForEach(new GeluTanhGradient(Floats(x), Floats(dY), Output(dX)), dX.Count);
        }
        else
        {
            ForEach(new GeluGradient(Floats(x), Floats(dY), Output(dX)), dX.Count);
        }
    }

    private void ForEachGated<T>(T operation, Shape shape, int stride)
        where T : unmanaged, IGated => ForEachRow(new GatedRow<T>(operation, shape.Columns, stride), shape.Rows, shape.Columns);

    private readonly struct GatedRow<T>(T operation, int columns, int stride) : IRowOperation
        where T : unmanaged, IGated
    {
        public void Apply(int row, byte* scratch)
        {
            long i = (long)row * stride, j = (long)row * columns;
            int column = 0;
            for (; column <= columns - Lanes.Count; column += Lanes.Count)
            {
                operation.Apply(i + column, j + column, Lanes.Count);
            }

            if (column < columns)
                operation.Apply(i + column, j + column, columns - column);
        }
    }

    private readonly struct SwiGluForward(float* gate, float* up, float* y) : IGated
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, long j, int lanes)
        {
            Vector256<float> g = Lanes.Load(gate + i, lanes);
            Lanes.Store(g * VectorMath.Sigmoid(g) * Lanes.Load(up + i, lanes), y + j, lanes);
        }
    }

    private readonly struct SwiGluGradient(float* gate, float* up, float* dY, float* dGate, float* dUp) : IGated
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, long j, int lanes)
        {
            Vector256<float> g = Lanes.Load(gate + i, lanes);
            Vector256<float> u = Lanes.Load(up + i, lanes);
            Vector256<float> d = Lanes.Load(dY + j, lanes);
            Vector256<float> sigmoid = VectorMath.Sigmoid(g);

            // silu′ = σ + g·σ·(1 − σ), and 1 − σ(g) = σ(−g) loses nothing that matters here: it is multiplied by σ.
            Vector256<float> silu = g * sigmoid;
            Lanes.Store(d * u * Lanes.MultiplyAdd(silu, Vector256<float>.One - sigmoid, sigmoid), dGate + i, lanes);
            Lanes.Store(d * silu, dUp + i, lanes);
        }
    }

    private readonly struct GeGluForward(float* gate, float* up, float* y) : IGated
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, long j, int lanes)
        {
            Vector256<float> g = Lanes.Load(gate + i, lanes);
            Lanes.Store(g * GeluTanhForward.Gate(g, out _) * Lanes.Load(up + i, lanes), y + j, lanes);
        }
    }

    private readonly struct GeGluGradient(float* gate, float* up, float* dY, float* dGate, float* dUp) : IGated
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, long j, int lanes)
        {
            Vector256<float> g = Lanes.Load(gate + i, lanes);
            Vector256<float> u = Lanes.Load(up + i, lanes);
            Vector256<float> d = Lanes.Load(dY + j, lanes);
            Vector256<float> share = GeluTanhForward.Gate(g, out Vector256<float> slope);
            Lanes.Store(d * u * GeluTanhForward.Derivative(g, share, slope), dGate + i, lanes);
            Lanes.Store(d * g * share, dUp + i, lanes);
        }
    }

    private readonly struct SoftCapForward(float* x, float* y, float cap) : IElementwise
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, int lanes) => Lanes.Store(VectorMath.Tanh(Lanes.Load(x + i, lanes) / cap) * cap, y + i, lanes);
    }

    private readonly struct SoftCapGradient(float* x, float* dY, float* dX, float cap) : IElementwise
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, int lanes)
        {
            Vector256<float> t = VectorMath.Tanh(Lanes.Load(x + i, lanes) / cap);
            Lanes.Store(Lanes.Load(dY + i, lanes) * (Vector256<float>.One - (t * t)), dX + i, lanes);
        }
    }

    /// <summary>½x·(1 + tanh(√(2/π)·(x + 0.044715x³))).</summary>
    private readonly struct GeluTanhForward(float* x, float* y) : IElementwise
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, int lanes)
        {
            Vector256<float> value = Lanes.Load(x + i, lanes);
            Lanes.Store(value * Gate(value, out _), y + i, lanes);
        }

        /// <summary>½(1 + tanh u) = σ(2u), and u′ through <paramref name="slope"/>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Gate(Vector256<float> x, out Vector256<float> slope)
        {
            const float Root = 0.797884561f;
            Vector256<float> square = x * x;
            slope = Lanes.MultiplyAdd(square, Vector256.Create(3 * 0.044715f * Root), Vector256.Create(Root));
            Vector256<float> u = x * Lanes.MultiplyAdd(square, Vector256.Create(0.044715f * Root), Vector256.Create(Root));
            return VectorMath.Sigmoid(u * 2f);
        }

        /// <summary>d/dx x·σ(2u) = σ + x·σ·(1 − σ)·2u′.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Derivative(Vector256<float> x, Vector256<float> gate, Vector256<float> slope) =>
            Lanes.MultiplyAdd(x * gate * 2f, (Vector256<float>.One - gate) * slope, gate);
    }

    private readonly struct GeluTanhGradient(float* x, float* dY, float* dX) : IElementwise
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, int lanes)
        {
            Vector256<float> value = Lanes.Load(x + i, lanes);
            Vector256<float> gate = GeluTanhForward.Gate(value, out Vector256<float> slope);
            Lanes.Store(Lanes.Load(dY + i, lanes) * GeluTanhForward.Derivative(value, gate, slope), dX + i, lanes);
        }
    }

    private readonly struct GeluForward(float* x, float* y) : IElementwise
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, int lanes)
        {
            Vector256<float> value = Lanes.Load(x + i, lanes);
            Lanes.Store(value * Distribution(value), y + i, lanes);
        }

        /// <summary>Φ(x) = ½(1 + erf(x / √2)).</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Distribution(Vector256<float> x) =>
            Lanes.MultiplyAdd(VectorMath.Erf(x * 0.707106781f), Vector256.Create(0.5f), Vector256.Create(0.5f));
    }

    private readonly struct GeluGradient(float* x, float* dY, float* dX) : IElementwise
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, int lanes)
        {
            Vector256<float> value = Lanes.Load(x + i, lanes);
            Vector256<float> density = VectorMath.Exp(value * value * -0.5f) * 0.398942280f;
            Vector256<float> derivative = Lanes.MultiplyAdd(value, density, GeluForward.Distribution(value));
            Lanes.Store(Lanes.Load(dY + i, lanes) * derivative, dX + i, lanes);
        }
    }
}
