using System.Globalization;
using System.Text.Json.Serialization;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Evaluation;
using Forgetting.Models;

namespace Forgetting.Methods;

/// <summary>
/// Whether the reference has learnt the task (this project's): how well its loss tells an example's own response from another example's in
/// the same place. A reference that cannot do that with answers put wrong on purpose cannot say which of the data's are wrong. It looks at
/// the examples that are scored, which it has not been trained on, and needs none that are known to be right.
/// </summary>
/// <param name="Examples">Responses looked at, each after its own prompt and after another's.</param>
/// <param name="Auc">Probability that a response after its own prompt has a lower mean loss than one after another's, ties half.</param>
internal sealed record ReferenceCheck(int Examples, double Auc)
{
    /// <summary>Name of the file beside the scores.</summary>
    public const string FileName = "reference-check.json";

    /// <summary>AUC below which there is a warning.</summary>
    public const double LeastAuc = 0.65;

    /// <summary>Examples looked at where there are more; the standard error of an AUC of one half is then 0.04.</summary>
    public const int MostExamples = 128;

    /// <summary>Fewer say nothing for certain.</summary>
    public const int LeastExamples = 16;

    /// <summary>What is wrong, in a sentence; null where nothing is.</summary>
    [JsonIgnore]
    public string? Warning => Auc >= LeastAuc
        ? null
        : string.Create(
            CultureInfo.InvariantCulture,
            $"the reference has hardly learnt the task: it tells an example's own response from another example's with AUC {Auc:0.00} "
                + $"({Examples} examples; 0.5 is chance), so it cannot say which are wrong; "
                + $"train it on more data or for longer, or compare with method full before relying on forgetting");

    /// <inheritdoc/>
    public override string ToString() => Warning ?? string.Create(
        CultureInfo.InvariantCulture,
        $"the reference tells an example's own response from another example's with AUC {Auc:0.00} ({Examples} examples)");

    /// <summary>Looks at examples; null where too few have a prompt and response that can be exchanged.</summary>
    /// <param name="losses">Per example, per token: cross-entropy under the reference, nats.</param>
    /// <param name="ranks">Share the work; null for this process alone.</param>
    public static ReferenceCheck? Of(
        Decoder reference, IReadOnlyList<EncodedExample> examples, IReadOnlyList<float[]> losses, int microBatchTokens,
        ICommunicator? ranks, CancellationToken cancellation)
    {
        (int[] own, EncodedExample[] exchanged) = Exchange(examples);
        if (own.Length < LeastExamples)
            return null;

        IReadOnlyList<float[]> others = Scorer.Losses(
            reference, exchanged, microBatchTokens, allTokens: false, ranks: ranks, cancellation: cancellation);
        return new(
            own.Length, MembershipInference.Auc(
                [.. own.Select(i => Mean(examples[i], losses[i]))], [.. exchanged.Select((e, i) => Mean(e, others[i]))]));

        static double Mean(EncodedExample example, float[] losses) => Scorer.ResponseMean([example], [losses]).Mean;
    }

    /// <summary>
    /// Examples by place, and each one's response after the prompt of another. Both are the same responses, so that their length and
    /// frequency do not matter.
    /// </summary>
    internal static (int[] Own, EncodedExample[] Exchanged) Exchange(IReadOnlyList<EncodedExample> examples)
    {
        int[] fit = [.. Enumerable.Range(0, examples.Count).Where(i => HasOneResponse(examples[i]))];
        int count = Math.Min(fit.Length, MostExamples);
        (int Place, int[] Prompt, int[] Response)[] parts =
            [.. Enumerable.Range(0, count).Select(i => PartsOf(examples, fit[(int)((long)i * fit.Length / count)]))];
        int longest = parts.Select(part => ExampleLists.LengthAt(examples, part.Place)).DefaultIfEmpty().Max();
        var own = new List<int>();
        var exchanged = new List<EncodedExample>();
        for (int i = 0; i < count; i++)
        {
            (int place, int[] ownPrompt, int[] response) = parts[i];
            int[]? prompt = Enumerable.Range(1, count - 1).Select(step => parts[(i + step) % count])
                .FirstOrDefault(other => other.Prompt.Length + response.Length <= longest
                    && !other.Prompt.AsSpan().SequenceEqual(ownPrompt) && !other.Response.AsSpan().SequenceEqual(response)).Prompt;
            if (prompt is null)
                continue;

            own.Add(place);
            exchanged.Add(new()
            {
                Index = examples[place].Index,
                Ids = [.. prompt, .. response],
                Response = [.. prompt.Select(_ => false), .. response.Select(_ => true)],
            });
        }

        return ([.. own], [.. exchanged]);
    }

    // A prompt, a response and no more of them; what the data says is wrong is none that the reference should like.
    private static bool HasOneResponse(EncodedExample example)
    {
        int first = Array.IndexOf(example.Response, true), last = Array.LastIndexOf(example.Response, true);
        return first > 0 && !example.Rejected && example.NegativeCount == 0 && !example.Response.AsSpan(first..(last + 1)).Contains(false);
    }

    private static (int Place, int[] Prompt, int[] Response) PartsOf(IReadOnlyList<EncodedExample> examples, int place)
    {
        EncodedExample example = examples[place];
        int first = Array.IndexOf(example.Response, true), end = Array.LastIndexOf(example.Response, true) + 1;
        return (place, example.Ids[..first], example.Ids[first..end]);
    }
}
