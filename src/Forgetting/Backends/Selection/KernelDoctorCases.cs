using Forgetting.Tensors;

namespace Forgetting.Backends.Selection;

/// <summary>The operations that <see cref="KernelDoctor"/> examines: all of <see cref="IBackend"/>.</summary>
internal static class KernelDoctorCases
{
    public static IReadOnlyList<KernelDoctorCase> All { get; } =
        [.. Dense(), .. LowRank(), .. Sequence(), .. Elementwise(), .. Logits(), .. Sinks(), .. Optimizer()];

    private static IEnumerable<KernelDoctorCase> Dense()
    {
        yield return Memory(
            "Copy", (b, s) => In(b.Input(s.Rows, s.Inner), b.Output(s.Rows, s.Inner), (x, y) => b.Backend.Copy(x, y)),
            (s, e) => 2.0 * s.Rows * s.Inner * e);
        yield return Products("Gemm forward", (b, s) =>
        {
            (Tensor x, Tensor w, Tensor y) = (b.Input(s.Rows, s.Width), b.Input(s.Inner, s.Width), b.Output(s.Rows, s.Inner));
            return (() => b.Backend.Gemm(x, false, w, true, y), [y]);
        }, s => (double)s.Rows * s.Width * s.Inner);
        yield return Products("Gemm of NF4", (b, s) =>
        {
            (Tensor x, Tensor w, Tensor y) = (b.Input(s.Rows, s.Width), b.Quantized(s.Inner, s.Width), b.Output(s.Rows, s.Inner));
            return (() => b.Backend.Gemm(x, false, w, true, y), [y]);
        }, s => (double)s.Rows * s.Width * s.Inner);
        yield return Products("Gemm weight gradient", (b, s) =>
        {
            (Tensor x, Tensor dY, Tensor g) = (b.Input(s.Rows, s.Width), b.Input(s.Rows, s.Inner), b.Input32(s.Inner, s.Width));
            return (() => b.Backend.Gemm(dY, true, x, false, g, beta: 1), [g]);
        }, s => (double)s.Rows * s.Width * s.Inner);
        yield return Memory(
            "AddBias", (b, s) => In(b.Input(s.Rows, s.Inner), b.Input(1, s.Inner), (y, bias) => b.Backend.AddBias(y, bias), first: true),
            (s, e) => 2.0 * s.Rows * s.Inner * e);
        yield return Memory("Fill", (b, s) =>
        {
            Tensor y = b.Output(s.Rows, s.Inner);
            return (() => b.Backend.Fill(y, 0.5f), [y]);
        }, (s, e) => 1.0 * s.Rows * s.Inner * e);
    }

    private static IEnumerable<KernelDoctorCase> LowRank()
    {
        const int rank = 64;
        yield return Memory("LoraDown", (b, s) =>
        {
            (Tensor x, Tensor a, Tensor low) = (b.Input(s.Rows, s.Width), b.Input(rank, s.Width), b.Output(s.Rows, rank));
            DropoutMask mask = Mask(b, s);
            return (() => b.Backend.LoraDown(x, mask, a, 0.25f, low), [low]);
        }, Activations(1));
        yield return Memory("LoraDownGradient", (b, s) =>
        {
            (Tensor dLow, Tensor x, Tensor gradient) = (b.Input(s.Rows, rank), b.Input(s.Rows, s.Width), b.Input32(rank, s.Width));
            DropoutMask mask = Mask(b, s);
            return (() => b.Backend.LoraDownGradient(dLow, x, mask, gradient), [gradient]);
        }, Activations(1));
        yield return Memory("LoraDownInput", (b, s) =>
        {
            (Tensor dLow, Tensor a, Tensor dX) = (b.Input(s.Rows, rank), b.Input(rank, s.Width), b.Input(s.Rows, s.Width));
            DropoutMask mask = Mask(b, s);
            return (() => b.Backend.LoraDownInput(dLow, a, mask, dX), [dX]);
        }, Activations(2));
        yield return Memory("MagnitudeFactors", (b, s) =>
        {
            (Tensor squares, Tensor m, Tensor weights) = (b.Input32(1, s.Inner), b.Input32(1, s.Inner), b.Input(s.Inner, rank));
            (Tensor cross, Tensor gram, Tensor factors) = (b.Input32(rank, s.Inner), b.Input32(rank, rank), b.Input32(2, s.Inner));
            return (() => b.Backend.MagnitudeFactors(squares, m, weights, cross, gram, 0.5f, factors), [factors]);
        }, (s, e) => 1.0 * s.Inner * ((rank * (e + 4)) + 16));
        yield return Memory("Magnitude", (b, s) =>
        {
            (Tensor y, Tensor factors, Tensor unit) = (b.Input(s.Rows, s.Inner), b.Input32(2, s.Inner), b.Output(s.Rows, s.Inner));
            return (() => b.Backend.Magnitude(y, factors, unit), [y, unit]);
        }, (s, e) => 3.0 * s.Rows * s.Inner * e);
        yield return Memory("MagnitudeBackward", (b, s) =>
        {
            (Tensor dY, Tensor factors, Tensor unit) = (b.Input(s.Rows, s.Inner), b.Input32(2, s.Inner), b.Input(s.Rows, s.Inner));
            Tensor dV = b.Output(s.Rows, s.Inner);
            return (() => b.Backend.MagnitudeBackward(dY, factors, unit, dV), [unit, dV]);
        }, (s, e) => 4.0 * s.Rows * s.Inner * e);
    }

    private static DropoutMask Mask(DoctorBench b, DoctorSizes s) =>
        new(0.1f, 3, b.Integers([77, 5]), b.Integers([.. Enumerable.Range(5, s.Rows)]));

    private static IEnumerable<KernelDoctorCase> Sequence()
    {
        yield return Memory("GatherRows", (b, s) =>
        {
            (Tensor table, Tensor rows, Tensor y) =
                (b.Input(s.Vocabulary, s.Width), b.Ids(s.Rows, s.Vocabulary), b.Output(s.Rows, s.Width));
            return (() => b.Backend.GatherRows(table, rows, y), [y]);
        }, Activations(2));
        yield return Memory("ScatterRows", (b, s) =>
        {
            Tensor rows = b.Integers([.. Enumerable.Range(0, s.Rows).Select(t => s.Rows - 1 - t)]);
            (Tensor x, Tensor y) = (b.Input(s.Rows, s.Width), b.Output(s.Rows, s.Width));
            return (() => b.Backend.ScatterRows(x, rows, y), [y]);
        }, Activations(2));
        yield return Memory("CopyColumns", (b, s) =>
        {
            (Tensor x, Tensor y) = (b.Input(s.Rows, 2 * s.Width), b.Output(s.Rows, s.Width));
            return (() => b.Backend.CopyColumns(x, s.Width, y, 0, s.Width), [y]);
        }, Activations(2));
        yield return Memory("Rope", (b, s) =>
        {
            (Tensor x, Tensor positions) = (b.Input(s.Rows, s.Heads * s.HeadSize), b.Integers([.. Enumerable.Range(0, s.Rows)]));
            (Tensor cosine, Tensor sine) = (b.Input32(s.Rows, s.HeadSize / 2), b.Input32(s.Rows, s.HeadSize / 2));
            return (() => b.Backend.Rope(x, positions, cosine, sine, s.HeadSize, false), [x]);
        }, (s, e) => 2.0 * s.Rows * s.Heads * s.HeadSize * e);
        yield return Products("Attention", (b, s) =>
        {
            (Tensor q, Tensor k, Tensor v, Tensor offsets, Tensor o, Tensor lse) = AttentionTensors(b, s);
            return (() => b.Backend.Attention(s.Attention, q, k, v, offsets, o, lse), [o, lse]);
        }, s => 2.0 * s.Pairs * s.Heads * s.HeadSize);
        yield return Products("AttentionBackward", (b, s) =>
        {
            (Tensor q, Tensor k, Tensor v, Tensor offsets, Tensor o, Tensor lse) = AttentionTensors(b, s);
            (Tensor dO, Tensor delta, Tensor dQ) = (b.Input(s.Rows, q.Columns), b.Output32(s.Rows, s.Heads), b.Output(s.Rows, q.Columns));
            (Tensor dK, Tensor dV) = (b.Output(s.Rows, k.Columns), b.Output(s.Rows, k.Columns));
            b.Backend.Attention(s.Attention, q, k, v, offsets, o, lse);
            return (() => b.Backend.AttentionBackward(s.Attention, q, k, v, offsets, o, lse, dO, delta, dQ, dK, dV), [delta, dQ, dK, dV]);
        }, s => 5.0 * s.Pairs * s.Heads * s.HeadSize);
        yield return Memory("AttentionWithCache", (b, s) =>
        {
            // Decoding: one new token for each of four sequences.
            int length = s.Rows / 4;
            (Tensor q, Tensor k, Tensor v) = (b.Input(4, s.Heads * s.HeadSize), b.Input(s.Rows, s.KeyValueHeads * s.HeadSize), b.Input(
                s.Rows, s.KeyValueHeads * s.HeadSize));
            (Tensor offsets, Tensor starts) = (b.Integers(0, 1, 2, 3, 4), b.Integers(0, length, 2 * length, 3 * length));
            (Tensor lengths, Tensor o) = (b.Integers(length, length, length, length), b.Output(4, q.Columns));
            return (() => b.Backend.AttentionWithCache(s.Attention, q, offsets, k, v, starts, lengths, o), [o]);
        }, (s, e) => 2.0 * s.Rows * s.KeyValueHeads * s.HeadSize * e);
        yield return Memory("SegmentMean", (b, s) =>
        {
            (Tensor x, Tensor offsets, Tensor y) = (b.Input(s.Rows, s.Width), b.Integers(s.Offsets), b.Output32(3, s.Width));
            return (() => b.Backend.SegmentMean(x, offsets, y), [y]);
        }, Activations(1));
        yield return Memory("SegmentMeanBackward", (b, s) =>
        {
            (Tensor dY, Tensor offsets, Tensor dX) = (b.Input32(3, s.Width), b.Integers(s.Offsets), b.Input(s.Rows, s.Width));
            return (() => b.Backend.SegmentMeanBackward(dY, offsets, dX), [dX]);
        }, Activations(2));
    }

    private static IEnumerable<KernelDoctorCase> Elementwise()
    {
        foreach (bool residual in new[] { false, true })
        {
            string kind = residual ? " after a sum" : "";
            yield return Memory($"RmsNorm{kind}", (b, s) =>
            {
                (Tensor x, Tensor gain, Tensor y, Tensor rstd) =
                    (b.Input(s.Rows, s.Width), b.Input(1, s.Width), b.Output(s.Rows, s.Width), b.Output32(1, s.Rows));
                Tensor added = residual ? b.Input(s.Rows, s.Width) : default;
                return (() => b.Backend.RmsNorm(x, added, gain, 0, 1e-5f, y, rstd), [x, y, rstd]);
            }, Activations(residual ? 4 : 2));
            yield return Memory($"LayerNorm{kind}", (b, s) =>
            {
                (Tensor x, Tensor gain, Tensor bias) = (b.Input(s.Rows, s.Width), b.Input(1, s.Width), b.Input(1, s.Width));
                (Tensor y, Tensor statistics) = (b.Output(s.Rows, s.Width), b.Output32(s.Rows, 2));
                Tensor added = residual ? b.Input(s.Rows, s.Width) : default;
                return (() => b.Backend.LayerNorm(x, added, gain, bias, 1e-5f, y, statistics), [x, y, statistics]);
            }, Activations(residual ? 4 : 2));
        }

        yield return Memory("RmsNormBackward", (b, s) =>
        {
            (Tensor x, Tensor gain, Tensor y, Tensor rstd) =
                (b.Input(s.Rows, s.Width), b.Input(1, s.Width), b.Output(s.Rows, s.Width), b.Output32(1, s.Rows));
            (Tensor dY, Tensor dX) = (b.Input(s.Rows, s.Width), b.Input(s.Rows, s.Width));
            b.Backend.RmsNorm(x, default, gain, 0, 1e-5f, y, rstd);
            return (() => b.Backend.RmsNormBackward(dY, x, gain, 0, rstd, dX, y), [dX, y]);
        }, Activations(5));
        yield return Memory("LayerNormBackward", (b, s) =>
        {
            (Tensor x, Tensor gain, Tensor bias) = (b.Input(s.Rows, s.Width), b.Input(1, s.Width), b.Input(1, s.Width));
            (Tensor y, Tensor statistics) = (b.Output(s.Rows, s.Width), b.Output32(s.Rows, 2));
            (Tensor dY, Tensor dX) = (b.Input(s.Rows, s.Width), b.Input(s.Rows, s.Width));
            b.Backend.LayerNorm(x, default, gain, bias, 1e-5f, y, statistics);
            return (() => b.Backend.LayerNormBackward(dY, x, gain, statistics, dX, y), [dX, y]);
        }, Activations(5));
        yield return Memory("SwiGlu", (b, s) =>
        {
            (Tensor gate, Tensor up, Tensor y) = (b.Input(s.Rows, s.Inner), b.Input(s.Rows, s.Inner), b.Output(s.Rows, s.Inner));
            return (() => b.Backend.SwiGlu(gate, up, y), [y]);
        }, (s, e) => 3.0 * s.Rows * s.Inner * e);
        yield return Memory("SwiGluBackward", (b, s) =>
        {
            (Tensor gate, Tensor up, Tensor dY) = (b.Input(s.Rows, s.Inner), b.Input(s.Rows, s.Inner), b.Input(s.Rows, s.Inner));
            (Tensor dGate, Tensor dUp) = (b.Output(s.Rows, s.Inner), b.Output(s.Rows, s.Inner));
            return (() => b.Backend.SwiGluBackward(gate, up, dY, dGate, dUp), [dGate, dUp]);
        }, (s, e) => 5.0 * s.Rows * s.Inner * e);
        yield return Memory("GeGlu", (b, s) =>
        {
            (Tensor gate, Tensor up, Tensor y) = (b.Input(s.Rows, s.Inner), b.Input(s.Rows, s.Inner), b.Output(s.Rows, s.Inner));
            return (() => b.Backend.GeGlu(gate, up, y), [y]);
        }, (s, e) => 3.0 * s.Rows * s.Inner * e);
        yield return Memory("GeGluBackward", (b, s) =>
        {
            (Tensor gate, Tensor up, Tensor dY) = (b.Input(s.Rows, s.Inner), b.Input(s.Rows, s.Inner), b.Input(s.Rows, s.Inner));
            (Tensor dGate, Tensor dUp) = (b.Output(s.Rows, s.Inner), b.Output(s.Rows, s.Inner));
            return (() => b.Backend.GeGluBackward(gate, up, dY, dGate, dUp), [dGate, dUp]);
        }, (s, e) => 5.0 * s.Rows * s.Inner * e);
        yield return Memory(
            "SoftCap", (b, s) => In(b.Input(s.Rows, s.Inner), b.Output(s.Rows, s.Inner), (x, y) => b.Backend.SoftCap(x, y, 30)),
            (s, e) => 2.0 * s.Rows * s.Inner * e);
        yield return Memory("SoftCapBackward", (b, s) =>
        {
            (Tensor x, Tensor dY, Tensor dX) = (b.Input(s.Rows, s.Inner), b.Input(s.Rows, s.Inner), b.Output(s.Rows, s.Inner));
            return (() => b.Backend.SoftCapBackward(x, dY, dX, 30), [dX]);
        }, (s, e) => 3.0 * s.Rows * s.Inner * e);
        foreach (bool tanh in new[] { true, false })
        {
            string kind = tanh ? "tanh" : "erf";
            yield return Memory(
                $"Gelu {kind}", (b, s) => In(b.Input(s.Rows, s.Inner), b.Output(s.Rows, s.Inner), (x, y) => b.Backend.Gelu(x, y, tanh)),
                (s, e) => 2.0 * s.Rows * s.Inner * e);
            yield return Memory($"GeluBackward {kind}", (b, s) =>
            {
                (Tensor x, Tensor dY, Tensor dX) = (b.Input(s.Rows, s.Inner), b.Input(s.Rows, s.Inner), b.Output(s.Rows, s.Inner));
                return (() => b.Backend.GeluBackward(x, dY, dX, tanh), [dX]);
            }, (s, e) => 3.0 * s.Rows * s.Inner * e);
        }

        yield return Memory(
            "Axpy", (b, s) => In(b.Input32(s.Rows, s.Inner), b.Input32(s.Rows, s.Inner), (x, y) => b.Backend.Axpy(0.25f, x, y)),
            (s, _) => 12.0 * s.Rows * s.Inner);
        yield return Memory("Scale", (b, s) =>
        {
            Tensor x = b.Input(s.Rows, s.Inner);
            return (() => b.Backend.Scale(x, -0.5f), [x]);
        }, (s, e) => 2.0 * s.Rows * s.Inner * e);
        yield return Memory("Multiply", (b, s) =>
        {
            (Tensor x, Tensor z, Tensor y) = (b.Input32(s.Rows, s.Inner), b.Input32(s.Rows, s.Inner), b.Output32(s.Rows, s.Inner));
            return (() => b.Backend.Multiply(x, z, y), [y]);
        }, (s, _) => 12.0 * s.Rows * s.Inner);
    }

    private static IEnumerable<KernelDoctorCase> Logits()
    {
        foreach (AscentKind kind in Enum.GetValues<AscentKind>())
        {
            yield return Memory($"SignedLoss {kind}", (b, s) =>
            {
                (Tensor logits, Tensor targets) = (b.Input(s.Rows, s.Vocabulary), b.Ids(s.Rows, s.Vocabulary));
                Tensor weights = b.Numbers([.. Enumerable.Range(0, s.Rows).Select(r => r % 2 == 0 ? -0.25f : 0.5f)]);
                Tensor logs = b.Numbers([.. Enumerable.Range(0, s.Rows).Select(r => -0.1f - (r % 7))]);
                (Tensor losses, Tensor greedy) = (b.Output32(1, s.Rows), b.Integers(new int[s.Rows]));
                return (() => b.Backend.SignedLoss(logits, targets, weights, logs, Ascent.From(kind), losses, greedy), [losses, logits]);
            }, (s, e) => 2.0 * s.Rows * s.Vocabulary * e);
        }

        yield return Memory("KlDivergence", (b, s) =>
        {
            (Tensor logits, Tensor known) = (b.Input(s.Rows, s.Vocabulary), b.Input(s.Rows, s.Vocabulary));
            Tensor weights = b.Numbers([.. Enumerable.Range(0, s.Rows).Select(r => 0.25f * (r % 3))]);
            Tensor divergences = b.Output32(1, s.Rows);
            return (() => b.Backend.KlDivergence(logits, known, weights, divergences), [divergences, logits]);
        }, (s, e) => 3.0 * s.Rows * s.Vocabulary * e);
        yield return Memory("Sample", (b, s) =>
        {
            (Tensor logits, Tensor ids) = (b.Input32(16, s.Vocabulary), b.Integers(new int[16]));
            Tensor uniforms = b.Numbers([.. Enumerable.Range(0, 16).Select(r => (r + 0.5f) / 16)]);
            return (() => b.Backend.Sample(logits, 0.2f, 40, 0.9f, uniforms, ids), [ids]);
        }, (s, _) => 64.0 * s.Vocabulary);
    }

    private static IEnumerable<KernelDoctorCase> Sinks()
    {
        yield return Products("SquareAccumulateMatrix", (b, s) =>
        {
            (Tensor x, Tensor dY, Tensor offsets, Tensor sum) =
                (b.Input(s.Rows, s.Width), b.Input(s.Rows, s.Inner), b.Integers(s.Offsets), b.Input32(s.Inner, s.Width));
            return (() => b.Backend.SquareAccumulateMatrix(x, dY, offsets, sum), [sum]);
        }, s => (double)s.Rows * s.Width * s.Inner);
        yield return Products("ProjectMatrix", (b, s) =>
        {
            (Tensor x, Tensor dY, Tensor offsets, Tensor result) =
                (b.Input(s.Rows, s.Width), b.Input(s.Rows, s.Inner), b.Integers(s.Offsets), b.Output32(3, 2));
            (Tensor a, Tensor f) = (b.Input32(s.Inner, s.Width), b.Input32(s.Inner, s.Width));
            return (() => b.Backend.ProjectMatrix(x, dY, offsets, a, f, result), [result]);
        }, s => (double)s.Rows * s.Width * s.Inner);
        yield return Memory(
            "AccumulateColumns",
            (b, s) => In(b.Input(s.Rows, s.Inner), b.Input32(1, s.Inner), (dY, g) => b.Backend.AccumulateColumns(dY, g)),
            (s, e) => 1.0 * s.Rows * s.Inner * e);
        yield return Memory("SquareAccumulateColumns", (b, s) =>
        {
            (Tensor dY, Tensor offsets, Tensor sum) = (b.Input(s.Rows, s.Inner), b.Integers(s.Offsets), b.Input32(1, s.Inner));
            return (() => b.Backend.SquareAccumulateColumns(dY, offsets, sum), [sum]);
        }, (s, e) => 1.0 * s.Rows * s.Inner * e);
        yield return Memory("ProjectColumns", (b, s) =>
        {
            (Tensor dY, Tensor offsets, Tensor result) = (b.Input(s.Rows, s.Inner), b.Integers(s.Offsets), b.Output32(3, 2));
            (Tensor a, Tensor f) = (b.Input32(1, s.Inner), b.Input32(1, s.Inner));
            return (() => b.Backend.ProjectColumns(dY, offsets, a, f, result), [result]);
        }, (s, e) => 1.0 * s.Rows * s.Inner * e);
        yield return Memory("AccumulateRows", (b, s) =>
        {
            (Tensor rows, Tensor dY, Tensor g) =
                (b.Ids(s.Rows, s.Vocabulary / 8), b.Input(s.Rows, s.Width), b.Input32(s.Vocabulary, s.Width));
            return (() => b.Backend.AccumulateRows(rows, dY, g), [g]);
        }, (s, e) => 1.0 * s.Rows * s.Width * (e + 8));
        yield return Memory("SquareAccumulateRows", (b, s) =>
        {
            (Tensor rows, Tensor dY, Tensor offsets, Tensor sum) =
                (b.Ids(s.Rows, s.Vocabulary / 8), b.Input(s.Rows, s.Width), b.Integers(s.Offsets), b.Input32(s.Vocabulary, s.Width));
            Tensor head = b.Input32(s.Rows, s.Width);
            return (() => b.Backend.SquareAccumulateRows(rows, dY, offsets, head, sum), [sum]);
        }, (s, e) => 1.0 * s.Rows * s.Width * (e + 12));
        yield return Memory("ProjectRows", (b, s) =>
        {
            (Tensor rows, Tensor dY, Tensor offsets, Tensor result) =
                (b.Ids(s.Rows, s.Vocabulary / 8), b.Input(s.Rows, s.Width), b.Integers(s.Offsets), b.Output32(3, 2));
            (Tensor a, Tensor f) = (b.Input32(s.Vocabulary, s.Width), b.Input32(s.Vocabulary, s.Width));
            return (() => b.Backend.ProjectRows(rows, dY, offsets, default, a, f, result), [result]);
        }, (s, e) => 1.0 * s.Rows * s.Width * (e + 8));
        yield return Products("HeadRows", (b, s) =>
        {
            (Tensor dLogits, Tensor x, Tensor offsets) = (b.Input(s.Rows, s.Vocabulary), b.Input(s.Rows, s.Width), b.Integers(s.Offsets));
            (Tensor rows, Tensor y) = (b.Ids(s.Rows, s.Vocabulary), b.Output32(s.Rows, s.Width));
            return (() => b.Backend.HeadRows(dLogits, x, offsets, rows, offsets, y), [y]);
        }, s => s.Offsets.Skip(1).Zip(s.Offsets, (end, begin) => (double)(end - begin) * (end - begin)).Sum() * s.Width);
    }

    private static IEnumerable<KernelDoctorCase> Optimizer()
    {
        yield return Memory(
            "SumOfSquares",
            (b, s) => In(b.Input32(s.Inner, s.Width), b.Output32(1, 1), (x, result) => b.Backend.SumOfSquares(x, result, 0)),
            (s, _) => 4.0 * s.Inner * s.Width);
        yield return Memory("Dot", (b, s) =>
        {
            (Tensor x, Tensor z, Tensor result) = (b.Input32(s.Inner, s.Width), b.Input32(s.Inner, s.Width), b.Output32(1, 1));
            b.Backend.Axpy(1, x, z); // so that the sum does not cancel
            return (() => b.Backend.Dot(x, z, result, 0), [result]);
        }, (s, _) => 8.0 * s.Inner * s.Width);
        yield return Memory("StochasticRound", (b, s) =>
        {
            (Tensor x, Tensor y, Tensor key) = (b.Input32(s.Inner, s.Width), b.Input(s.Inner, s.Width, DType.BFloat16), b.Integers([5, 7]));
            return (() => b.Backend.StochasticRound(x, y, add: true, new Rounding(key, 3)), [y]);
        }, (s, _) => 8.0 * s.Inner * s.Width);
        yield return Memory("AdamW", (b, s) =>
        {
            (Tensor master, Tensor gradient, Tensor value) =
                (b.Input32(s.Inner, s.Width), b.Input32(s.Inner, s.Width), b.Output(s.Inner, s.Width));
            (Tensor m, Tensor v) = (b.Input32(s.Inner, s.Width), b.Output32(s.Inner, s.Width));
            b.Backend.Multiply(gradient, gradient, v);
            var settings = new AdamWSettings(0.9f, 0.999f, 1e-8f, 0.01f);
            Tensor numbers = b.Numbers(settings.Numbers(1e-3, 3, 0.5));
            return (() => b.Backend.AdamW(master, value, gradient, m, v, settings, numbers), [master, m, v, value, gradient]);
        }, (s, e) => 1.0 * s.Inner * s.Width * (32 + e));
        yield return Memory("AdamW8Bit", (b, s) =>
        {
            (Tensor master, Tensor gradient, Tensor value) =
                (b.Input32(s.Inner, s.Width), b.Input32(s.Inner, s.Width), b.Output(s.Inner, s.Width));
            (BlockwiseTensor m, BlockwiseTensor v) = (b.Blockwise(s.Inner, s.Width), b.Blockwise(s.Inner, s.Width));
            var settings = new AdamWSettings(0.9f, 0.999f, 1e-8f, 0.01f);
            Tensor numbers = b.Numbers(settings.Numbers(1e-3, 3, 0.5));
            Tensor maps = b.Numbers([.. DynamicMap.Signed, .. DynamicMap.Unsigned]);
            return (
                () => b.Backend.AdamW8Bit(master, value, gradient, m, v, maps, settings, numbers),
                [master, value, gradient, m.Scales, v.Scales]);
        }, (s, e) => 1.0 * s.Inner * s.Width * (20 + e));
    }

    private static KernelDoctorCase Memory(
        string name, Func<DoctorBench, DoctorSizes, (Action Call, Tensor[] Results)> prepare, Func<DoctorSizes, int, double> bytes) =>
        new(name, prepare, (sizes, element) => (bytes(sizes, element), 0));

    private static KernelDoctorCase Products(
        string name, Func<DoctorBench, DoctorSizes, (Action Call, Tensor[] Results)> prepare, Func<DoctorSizes, double> products) =>
        new(name, prepare, (sizes, _) => (0, products(sizes)));

    // Bytes of so many tensors [T, C].
    private static Func<DoctorSizes, int, double> Activations(int tensors) => (s, e) => (double)tensors * s.Rows * s.Width * e;

    // An operation of two tensors, of which the second (or the first) is the result.
    private static (Action Call, Tensor[] Results) In(Tensor a, Tensor b, Action<Tensor, Tensor> call, bool first = false) =>
        (() => call(a, b), [first ? a : b]);

    private static (Tensor Q, Tensor K, Tensor V, Tensor Offsets, Tensor O, Tensor LogSumExp) AttentionTensors(DoctorBench b, DoctorSizes s)
    {
        int q = s.Heads * s.HeadSize, kv = s.KeyValueHeads * s.HeadSize;
        return (b.Input(s.Rows, q), b.Input(s.Rows, kv), b.Input(s.Rows, kv), b.Integers(s.Offsets), b.Output(s.Rows, q), b.Output32(
            s.Rows, s.Heads));
    }
}
