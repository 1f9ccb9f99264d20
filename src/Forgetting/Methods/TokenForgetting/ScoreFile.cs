using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Methods.TokenForgetting;

/// <summary>One example of a <see cref="ScoreFile"/>.</summary>
internal sealed record ExampleScores
{
    /// <summary>Position in the data set, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>Token ids.</summary>
    public required int[] Ids { get; init; }

    /// <summary>Per token: 1 where it is trained on, else 0.</summary>
    public required int[] Response { get; init; }

    /// <summary>Per token: cross-entropy under the base model, nats; 0 outside the response.</summary>
    public required float[] BaseLoss { get; init; }

    /// <summary>Per token: cross-entropy under the reference model, nats; 0 outside the response.</summary>
    public required float[] ReferenceLoss { get; init; }

    /// <summary>Per token: base loss − reference loss.</summary>
    public required float[] Influence { get; init; }

    /// <summary>Per token: what it was ranked by; null where that is the influence.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public float[]? Score { get; init; }

    /// <summary>Per token: 1 learnt, −1 forgotten, 0 ignored or no response.</summary>
    public required int[] Sign { get; init; }
}

/// <summary>Influence and signs as JSON Lines, an example a line.</summary>
internal static class ScoreFile
{
    /// <summary>Writes the file; it appears whole or not at all.</summary>
    /// <exception cref="UserException">Not writable or disk full.</exception>
    public static void Write(string path, IReadOnlyList<EncodedExample> examples, Scores scores) =>
        JsonLines.Write(path, examples.Select((example, i) => new ExampleScores
        {
            Index = example.Index,
            Ids = example.Ids,
            Response = LossFile.ToNumbers(example.Response),
            BaseLoss = scores.BaseLoss[i],
            ReferenceLoss = scores.ReferenceLoss[i],
            Influence = scores.Influence[i],
            Score = scores.Score[i].AsSpan().SequenceEqual(scores.Influence[i]) ? null : scores.Score[i],
            Sign = Array.ConvertAll(scores.Partition.Signs[i], sign => (int)sign),
        }));

    /// <summary>Reads the lines as they are, for reports.</summary>
    /// <exception cref="UserException">It cannot be read or a line is malformed; names the line.</exception>
    public static IReadOnlyList<ExampleScores> Read(string path) => JsonLines.Read<ExampleScores>(path);

    /// <summary>Reads the scores of a training set.</summary>
    /// <param name="examples">The training set, which the file must cover exactly: the same examples with the same tokens.</param>
    /// <param name="anew">Rank and divide anew by the losses in the file; null: take the signs in the file.</param>
    /// <exception cref="UserException">A line is malformed or does not fit its example, or an example has none or two;
    /// names the line or example.</exception>
    public static Scores Read(string path, IReadOnlyList<EncodedExample> examples, (ScoreKind Kind, PartitionRule Rule)? anew)
    {
        Dictionary<int, int> placeOf = examples.Select((e, i) => (e.Index, i)).ToDictionary(p => p.Index, p => p.i);
        var byPlace = new ExampleScores?[examples.Count];
        int line = 0;
        foreach (ExampleScores scores in Read(path))
        {
            line++;
            if (!placeOf.TryGetValue(scores.Index, out int place))
            {
                throw new UserException(
                    $"{path}: record {line}: index {scores.Index} is no example of the training set; "
                    + "were the scores made from other data?");
            }

            if (byPlace[place] != null)
                throw new UserException($"{path}: record {line}: index {scores.Index} is there a second time");

            Check(path, line, scores, examples[place]);
            byPlace[place] = scores;
        }

        int missing = Array.IndexOf(byPlace, null);
        if (missing >= 0)
            throw new UserException($"{path}: has no line for example {examples[missing].Index} of the training set");

        float[][] baseLoss = [.. byPlace.Select(s => s!.BaseLoss)], referenceLoss = [.. byPlace.Select(s => s!.ReferenceLoss)];
        if (anew is { } wanted)
            return Scores.Create(examples, baseLoss, referenceLoss, wanted.Kind, wanted.Rule);

        float[][] score = [.. byPlace.Select(s => s!.Score ?? s.Influence)];
        bool influence = byPlace.All(s => s!.Score is null),
            reference = byPlace.All(s => s!.Score is { } own && own.Zip(s.ReferenceLoss).All(p => p.First == -p.Second));
        return new Scores
        {
            Kind = influence ? ScoreKind.Influence : reference ? ScoreKind.Reference : ScoreKind.Blend,
            BaseLoss = baseLoss,
            ReferenceLoss = referenceLoss,
            Influence = [.. byPlace.Select(s => s!.Influence)],
            Score = score,
            Partition = Partition.FromSigns([.. byPlace.Select(s => Array.ConvertAll(s!.Sign, sign => (sbyte)sign))], score, examples),
        };
    }

    private static void Check(string path, int line, ExampleScores scores, EncodedExample example)
    {
        if (!scores.Ids.AsSpan().SequenceEqual(example.Ids))
        {
            throw new UserException(
                $"{path}: record {line}: ids differ from those of example {example.Index}; "
                + "were the scores made with this tokenizer, template and max-length?");
        }

        if (!scores.Response.AsSpan().SequenceEqual(LossFile.ToNumbers(example.Response)))
            throw new UserException($"{path}: record {line}: response differs from that of example {example.Index}");

        foreach ((string name, int length) in new[]
        {
            ("base_loss", scores.BaseLoss.Length), ("reference_loss", scores.ReferenceLoss.Length), ("influence", scores.Influence.Length),
            ("score", scores.Score?.Length ?? example.Length), ("sign", scores.Sign.Length),
        })
        {
            if (length != example.Length)
                throw new UserException($"{path}: record {line}: {name} has {length} values, expected {example.Length}");
        }

        for (int t = 0; t < example.Length; t++)
        {
            if (example.Given?[t] is 1 or -1 && scores.Sign[t] != example.Given[t])
            {
                throw new UserException(
                    $"{path}: record {line}: sign of token {t} is {scores.Sign[t]}, expected {example.Given[t]}, which the data gives it");
            }

            if (example.Response[t] ? scores.Sign[t] is not (1 or 0 or -1) : scores.Sign[t] != 0)
            {
                throw new UserException(
                    $"{path}: record {line}: sign of token {t} is {scores.Sign[t]}, expected {(example.Response[t] ? "1, 0 or -1" : "0")}");
            }
        }
    }
}
