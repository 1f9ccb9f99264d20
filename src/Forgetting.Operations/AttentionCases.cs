using Forgetting.Backends;
using Forgetting.IO;
using Forgetting.Operations.Reference;
using static Forgetting.Operations.Operands;

namespace Forgetting.Operations;

/// <summary>Attention, its backward, and attention against a cache.</summary>
internal static class AttentionCases
{
    private static readonly (int Heads, int KeyValueHeads, int HeadSize, int Window, int Layout)[] s_shapes =
    [
        (1, 1, 8, 0, 0), (1, 1, 1, 0, 1), (8, 8, 8, 0, 2), (8, 4, 8, 0, 4), (4, 2, 6, 0, 3), (8, 1, 16, 0, 2), (4, 1, 64, 0, 4),
        (2, 2, 64, 0, 3), (2, 1, 80, 0, 2), (2, 2, 128, 0, 4), (3, 3, 3, 2, 2), (4, 2, 16, 1, 2), (4, 4, 16, 5, 4), (2, 1, 64, 31, 4),
        (2, 1, 32, 500, 4),
    ];

    public static IEnumerable<OperationCase> All()
    {
        foreach ((int heads, int kvHeads, int headSize, int window, int layout) in s_shapes)
        {
            int[] offsets = OperationCases.Layouts[layout];
            var shape = new AttentionShape(heads, kvHeads, headSize, (float)(1 / Math.Sqrt(headSize)), window);
            yield return Forward(shape, offsets, $"{offsets[^1]} rows");
            yield return Backward(shape, offsets, $"{offsets[^1]} rows");
        }

        int[] mixed = OperationCases.Layouts[4];
        var unscaled = new AttentionShape(2, 2, 16, 1, 0);
        yield return Forward(unscaled, mixed, "unscaled");
        yield return Backward(unscaled, mixed, "unscaled");
        // Scores in the hundreds: nearly all weight on one key, and exp of anything but a difference overflows.
        yield return Forward(unscaled, mixed, "sharp", deviation: 4);
        yield return Backward(unscaled, mixed, "sharp", deviation: 4);
        var odd = new AttentionShape(3, 3, 5, 0.4f, 0);
        yield return Forward(odd, mixed, "shifted") with { Shift = 1 };
        yield return Backward(odd, mixed, "shifted") with { Shift = 1 };
        // A maximum that begins at anything but −∞ leaves no exponential above 0.
        var low = new AttentionShape(2, 1, 64, 0.125f);
        yield return Forward(low, mixed, "scores near −200", opposed: 40);
        yield return Backward(low, mixed, "scores near −200", opposed: 40);

        // Windows within a tile of queries: its last rows see no key of its first tile of keys.
        int[] overTiles = [0, 3, 143];
        foreach (AttentionShape narrow in new AttentionShape[] { new(2, 1, 16, 0.25f, 5), new(1, 1, 64, 0.125f, 31), new(
            1, 1, 128, 0.09f, 2) })
        {
            yield return Forward(narrow, overTiles, "143 rows");
            yield return Backward(narrow, overTiles, "143 rows");
        }

        // Scores of some units against a cap of 2: from nearly straight to nearly flat, in every size of head that has a kernel.
        foreach (AttentionShape capped in new AttentionShape[]
        {
            new(4, 2, 6, 0.9f, 0, 2), new(2, 1, 32, 0.5f, 5, 2), new(2, 2, 64, 0.3f, 0, 2), new(2, 1, 128, 0.25f, 31, 2),
            new(2, 1, 256, 0.15f, 0, 2),
        })
        {
            yield return Forward(capped, overTiles, "capped");
            yield return Backward(capped, overTiles, "capped");
            yield return WithCache(capped, [0, 1, 2], [40, 0], [21, 33], 61, "decoding, capped");
            yield return WithCache(capped, [0, 3, 4, 11], [20, 0, 8], [9, 4, 7], 32, "several new tokens, capped");
        }

        var two = new AttentionShape(2, 1, 64, 0.125f);
        yield return Forward(two, [0, 1500], "long") with { Large = true };
        yield return Backward(two, [0, 1500], "long") with { Large = true };
        yield return Forward(two with { Window = 256 }, [0, 20, 1500], "long") with { Large = true };
        yield return Backward(two with { Window = 256 }, [0, 20, 1500], "long") with { Large = true };

        yield return WithCache(new(1, 1, 8, 0.35f), [0, 1], [0], [1], 1, "first token");
        yield return WithCache(new(8, 4, 8, 0.35f), [0, 1, 2, 3], [0, 16, 40], [5, 24, 1], 48, "decoding");
        yield return WithCache(new(8, 1, 64, 0.125f), [0, 1, 2], [70, 0], [33, 65], 128, "decoding, eight queries a key");
        yield return WithCache(new(6, 2, 16, 0.25f), [0, 1, 2], [40, 0], [21, 33], 61, "decoding, three queries a key");
        yield return WithCache(new(8, 2, 64, 0.125f), [0, 1, 2], [50, 0], [17, 40], 67, "decoding, four queries a key");
        yield return WithCache(new(4, 2, 64, 0.125f), [0, 1, 2], [5, 0], [50, 3], 60, "decoding, scores near −200", opposed: 40);
        yield return WithCache(new(4, 2, 64, 0.125f), [0, 3], [0], [70], 70, "scores near −200", opposed: 40);
        yield return WithCache(new(4, 2, 6, 0.4f), [0, 3, 4, 11], [20, 0, 8], [9, 4, 7], 32, "several new tokens");
        yield return WithCache(new(2, 2, 128, 0.09f), [0, 17], [0], [17], 20, "prefill");
        yield return WithCache(new(3, 3, 5, 1, 4), [0, 2, 3], [0, 10], [9, 3], 21, "window") with { Shift = 1 };
        yield return WithCache(new(6, 3, 5, 0.6f, 6), [0, 1, 2], [0, 12], [11, 3], 21, "decoding in a window") with { Shift = 1 };
        yield return WithCache(new(2, 1, 80, 0.11f), [0, 1], [3], [1500], 1503, "long");
    }

    // Of one value in a sequence's first row, of hundreds in its last: what rounding the weights does is in proportion to a row's own size.
    private static Operand Mean(string name, int rows, int columns) => Output(name, rows, columns) with { ScaleByRow = true };

    // A score of some hundreds carries a rounding error of 1e-5, which its exponential turns into a relative one.
    private static double Looser(double deviation, double opposed) => Math.Max(1, Math.Max(deviation * deviation, opposed) / 2);

    // Normal numbers, but for `first` in the first column of every head where it is not 0.
    private static Values Heads(int count, int headSize, double deviation, double first) => (random, _) =>
        [.. Draw(random, count, deviation).Select((value, i) => first != 0 && i % headSize == 0 ? first : value)];

    private static string Describe(AttentionShape shape, string what) =>
        $"{what}, {shape.Heads}/{shape.KeyValueHeads} heads of {shape.HeadSize}{(shape.Window > 0 ? $", window {shape.Window}" : "")}";

    internal static OperationCase Forward(AttentionShape shape, int[] offsets, string what, double deviation = 1, double opposed = 0)
    {
        int rows = offsets[^1], q = shape.Heads * shape.HeadSize, kv = shape.KeyValueHeads * shape.HeadSize;
        return new("Attention", Describe(shape, what))
        {
            Operands =
            [
                Input("q", rows, q, Heads(rows * q, shape.HeadSize, deviation, opposed)),
                Input("k", rows, kv, Heads(rows * kv, shape.HeadSize, deviation, -opposed)), Input("v", rows, kv),
                Integers("offsets", offsets), Mean("o", rows, q) with { Loosen = Looser(deviation, opposed) },
                Output32("logSumExp", rows, shape.Heads),
            ],
            Run = (b, t) => b.Attention(shape, t[0], t[1], t[2], t[3], t[4], t[5]),
            Expect = v => (v[4], v[5]) = ReferenceAttention.Forward(shape, v[0], v[1], v[2], v[3].Ints()),
        };
    }

    internal static OperationCase Backward(AttentionShape shape, int[] offsets, string what, double deviation = 1, double opposed = 0)
    {
        int rows = offsets[^1], q = shape.Heads * shape.HeadSize, kv = shape.KeyValueHeads * shape.HeadSize;
        // A window of 1 leaves one key of weight 1, whose score has no gradient: dO·v − delta is a difference of equals. A column that all
        // keys share has no gradient either: the gradients of a row's scores add up to 0.
        double? vanishing = shape.Window == 1 ? 1 : opposed != 0 ? opposed * shape.Scale : null;
        // On BFloat16 o, the weights and their gradients are rounded before they are multiplied, and delta
        // is the difference of two such sums.
        Operand Gradient(string name, int columns) =>
            Output(name, rows, columns) with { Loosen = 1.5 * Looser(deviation, opposed), LoosenBFloat16 = 6 };
        return new("AttentionBackward", Describe(shape, what))
        {
            Operands =
            [
                Input("q", rows, q, Heads(rows * q, shape.HeadSize, deviation, opposed)),
                Input("k", rows, kv, Heads(rows * kv, shape.HeadSize, deviation, -opposed)), Input("v", rows, kv),
                Integers("offsets", offsets),
                Input("o", rows, q, (_, v) => ReferenceAttention.Forward(shape, v[0], v[1], v[2], v[3].Ints()).O),
                Input32(
                    "logSumExp", rows, shape.Heads, (_, v) => ReferenceAttention.Forward(shape, v[0], v[1], v[2], v[3].Ints()).LogSumExp),
                Input("dO", rows, q), Output32("delta", rows, shape.Heads),
                Gradient("dQ", q) with { Scale = vanishing }, Gradient("dK", kv) with { Scale = vanishing }, Gradient("dV", kv),
            ],
            Run = (b, t) => b.AttentionBackward(shape, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10]),
            Expect = v =>
            {
                v[7] = ReferenceAttention.Delta(shape, v[4], v[6]);
                (v[8], v[9], v[10]) = ReferenceAttention.Backward(shape, v[0], v[1], v[2], v[3].Ints(), v[6]);
            },
        };
    }

    private static OperationCase WithCache(AttentionShape shape, int[] offsets, int[] starts, int[] lengths, int cacheRows, string what,
        double opposed = 0)
    {
        int rows = offsets[^1], q = shape.Heads * shape.HeadSize, kv = shape.KeyValueHeads * shape.HeadSize;
        return new("AttentionWithCache", Describe(shape, what))
        {
            Operands =
            [
                Input("q", rows, q, Heads(rows * q, shape.HeadSize, 1, opposed)), Integers("offsets", offsets),
                Input("keys", cacheRows, kv, Heads(cacheRows * kv, shape.HeadSize, 1, -opposed)), Input("values", cacheRows, kv),
                Integers("starts", starts), Integers("lengths", lengths), Mean("o", rows, q) with { Loosen = Looser(1, opposed) },
            ],
            Run = (b, t) => b.AttentionWithCache(shape, t[0], t[1], t[2], t[3], t[4], t[5], t[6]),
            Expect = v => v[6] = ReferenceAttention.WithCache(shape, v[0], v[1].Ints(), v[2], v[3], v[4].Ints(), v[5].Ints()),
        };
    }
}
