using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Forgetting.Backends.Cpu;

/// <summary>Functions on vectors of floats, accurate to about 2 units in the last place.</summary>
internal static class VectorMath
{
    /// <summary>
    /// eˣ: 2ⁿ·e^r with n = round(x / ln 2) and a polynomial for e^r on ±ln 2 / 2. 0 below −87.33, e^88.37 =
    /// 2.4·10³⁸ from there on; NaN stays NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Exp(Vector256<float> x)
    {
        if (!Vector256.IsHardwareAccelerated)
            return Vector256.Create(Exp(x.GetLower()), Exp(x.GetUpper()));

        // The constants come first: of a NaN and a number, the native forms return the second operand or the NaN. Beyond the upper
        // one n would be 128, which has no exponent.
        Vector256<float> clamped = Vector256.MinNative(Vector256.Create(88.37f), Vector256.MaxNative(Vector256.Create(-87.5f), x));

        // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
        Vector256<float> shifted = Lanes.MultiplyAdd(clamped, Vector256.Create(1.44269504f), Vector256.Create(12582912f));
        Vector256<float> n = shifted - Vector256.Create(12582912f);

        // ln 2 in two parts, the first with trailing zero bits, so that n·first is exact.
        Vector256<float> r = Lanes.MultiplyAdd(n, Vector256.Create(-0.693359375f), clamped);
        r = Lanes.MultiplyAdd(n, Vector256.Create(2.12194440e-4f), r);

        // Cephes' expf: e^r ≈ 1 + r + r²·P(r).
        Vector256<float> p = Vector256.Create(1.9875691500e-4f);
        p = Lanes.MultiplyAdd(p, r, Vector256.Create(1.3981999507e-3f));
        p = Lanes.MultiplyAdd(p, r, Vector256.Create(8.3334519073e-3f));
        p = Lanes.MultiplyAdd(p, r, Vector256.Create(4.1665795894e-2f));
        p = Lanes.MultiplyAdd(p, r, Vector256.Create(1.6666665459e-1f));
        p = Lanes.MultiplyAdd(p, r, Vector256.Create(5.0000001201e-1f));
        p = Lanes.MultiplyAdd(p, r * r, r + Vector256<float>.One);

        // Times 2ⁿ, by adding n to the exponent.
        Vector256<float> result = (p.AsInt32() + (shifted.AsInt32() << 23)).AsSingle();
        return Vector256.AndNot(result, Vector256.LessThan(x, Vector256.Create(-87.33f)));
    }

    /// <summary>The same bits for sixteen floats, where the processor has such vectors: about half the time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Exp(Vector512<float> x)
    {
        Vector512<float> clamped = Vector512.MinNative(Vector512.Create(88.37f), Vector512.MaxNative(Vector512.Create(-87.5f), x));
        Vector512<float> shifted = Vector512.MultiplyAddEstimate(clamped, Vector512.Create(1.44269504f), Vector512.Create(12582912f));
        Vector512<float> n = shifted - Vector512.Create(12582912f);
        Vector512<float> r = Vector512.MultiplyAddEstimate(n, Vector512.Create(-0.693359375f), clamped);
        r = Vector512.MultiplyAddEstimate(n, Vector512.Create(2.12194440e-4f), r);
        Vector512<float> p = Vector512.Create(1.9875691500e-4f);
        p = Vector512.MultiplyAddEstimate(p, r, Vector512.Create(1.3981999507e-3f));
        p = Vector512.MultiplyAddEstimate(p, r, Vector512.Create(8.3334519073e-3f));
        p = Vector512.MultiplyAddEstimate(p, r, Vector512.Create(4.1665795894e-2f));
        p = Vector512.MultiplyAddEstimate(p, r, Vector512.Create(1.6666665459e-1f));
        p = Vector512.MultiplyAddEstimate(p, r, Vector512.Create(5.0000001201e-1f));
        p = Vector512.MultiplyAddEstimate(p, r * r, r + Vector512<float>.One);
        Vector512<float> result = (p.AsInt32() + (shifted.AsInt32() << 23)).AsSingle();
        return Vector512.ConditionalSelect(Vector512.LessThan(x, Vector512.Create(-87.33f)), Vector512<float>.Zero, result);
    }

    /// <summary>The same bits for four floats, where the processor has no longer vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Exp(Vector128<float> x)
    {
        Vector128<float> clamped = Vector128.MinNative(Vector128.Create(88.37f), Vector128.MaxNative(Vector128.Create(-87.5f), x));
        Vector128<float> shifted = Vector128.MultiplyAddEstimate(clamped, Vector128.Create(1.44269504f), Vector128.Create(12582912f));
        Vector128<float> n = shifted - Vector128.Create(12582912f);
        Vector128<float> r = Vector128.MultiplyAddEstimate(n, Vector128.Create(-0.693359375f), clamped);
        r = Vector128.MultiplyAddEstimate(n, Vector128.Create(2.12194440e-4f), r);
        Vector128<float> p = Vector128.Create(1.9875691500e-4f);
        p = Vector128.MultiplyAddEstimate(p, r, Vector128.Create(1.3981999507e-3f));
        p = Vector128.MultiplyAddEstimate(p, r, Vector128.Create(8.3334519073e-3f));
        p = Vector128.MultiplyAddEstimate(p, r, Vector128.Create(4.1665795894e-2f));
        p = Vector128.MultiplyAddEstimate(p, r, Vector128.Create(1.6666665459e-1f));
        p = Vector128.MultiplyAddEstimate(p, r, Vector128.Create(5.0000001201e-1f));
        p = Vector128.MultiplyAddEstimate(p, r * r, r + Vector128<float>.One);
        Vector128<float> result = (p.AsInt32() + (shifted.AsInt32() << 23)).AsSingle();
        return Vector128.ConditionalSelect(Vector128.LessThan(x, Vector128.Create(-87.33f)), Vector128<float>.Zero, result);
    }

    /// <summary>1 / (1 + e⁻ˣ).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Sigmoid(Vector256<float> x) => Vector256<float>.One / (Vector256<float>.One + Exp(-x));

    /// <summary>
    /// tanh x: a polynomial near 0 (Cephes' tanhf), where 1 − 2/(e²ˣ + 1) would lose its digits.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Tanh(Vector256<float> x)
    {
        Vector256<float> z = x * x;
        Vector256<float> p = Vector256.Create(-5.70498872745e-3f);
        p = Lanes.MultiplyAdd(p, z, Vector256.Create(2.06390887954e-2f));
        p = Lanes.MultiplyAdd(p, z, Vector256.Create(-5.37397155531e-2f));
        p = Lanes.MultiplyAdd(p, z, Vector256.Create(1.33314422036e-1f));
        p = Lanes.MultiplyAdd(p, z, Vector256.Create(-3.33332819422e-1f));
        Vector256<float> near = Lanes.MultiplyAdd(p * z, x, x);
        Vector256<float> far = Vector256<float>.One - (Vector256.Create(2f) / (Exp(x + x) + Vector256<float>.One));
        return Vector256.ConditionalSelect(Vector256.LessThan(Vector256.Abs(x), Vector256.Create(0.625f)), near, far);
    }

    /// <summary>
    /// erf x as x times a quotient of polynomials in x², for |x| ≤ 4, where it reaches 1 (coefficients as in Eigen and XLA).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Erf(Vector256<float> x)
    {
        x = Vector256.MinNative(Vector256.Create(4f), Vector256.MaxNative(Vector256.Create(-4f), x));
        Vector256<float> z = x * x;
        Vector256<float> p = Vector256.Create(-2.72614225801306e-10f);
        p = Lanes.MultiplyAdd(p, z, Vector256.Create(2.77068142495902e-08f));
        p = Lanes.MultiplyAdd(p, z, Vector256.Create(-2.10102402082508e-06f));
        p = Lanes.MultiplyAdd(p, z, Vector256.Create(-5.69250639462346e-05f));
        p = Lanes.MultiplyAdd(p, z, Vector256.Create(-7.34990630326855e-04f));
        p = Lanes.MultiplyAdd(p, z, Vector256.Create(-2.95459980854025e-03f));
        p = Lanes.MultiplyAdd(p, z, Vector256.Create(-1.60960333262415e-02f));
        Vector256<float> q = Vector256.Create(-1.45660718464996e-05f);
        q = Lanes.MultiplyAdd(q, z, Vector256.Create(-2.13374055278905e-04f));
        q = Lanes.MultiplyAdd(q, z, Vector256.Create(-1.68282697438203e-03f));
        q = Lanes.MultiplyAdd(q, z, Vector256.Create(-7.37332916720468e-03f));
        q = Lanes.MultiplyAdd(q, z, Vector256.Create(-1.42647390514189e-02f));
        return x * p / q;
    }
}
