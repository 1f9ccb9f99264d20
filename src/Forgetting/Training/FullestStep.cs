using Forgetting.Data;

namespace Forgetting.Training;

/// <summary>The micro-batches of a run that no other one of the run exceeds.</summary>
internal static class FullestStep
{
    private const long MaxConsidered = 10_000_000;

    /// <summary>
    /// Examples of each, with every token a response token, so that no other pass takes more memory. There are several where the one with
    /// the most tokens is of more and shorter examples, and so has fewer rows at the head, than another one.
    /// </summary>
    /// <param name="set">What is learnt.</param>
    /// <param name="unlearned">What is unlearnt in steps of its own, or null; these are taken to be the longest at once.</param>
    /// <param name="order">Order of the learning steps.</param>
    /// <param name="steps">Learning steps.</param>
    /// <param name="options">Sizes of batches.</param>
    /// <param name="ranks">Processes that share the steps.</param>
    public static IReadOnlyList<IReadOnlyList<EncodedExample>> MicroBatches(
        TrainingSet set, TrainingSet? unlearned, DataOrder order, int steps, TrainingOptions options, int ranks = 1)
    {
        var fullest = new List<(int Tokens, EncodedExample[] Examples)>();
        int size = order.MaxAtOnce;
        if ((long)steps * size > MaxConsidered)
        {
            // In so many steps the longest examples may well meet.
            Consider(ExampleLists.At(set.Examples, Longest(set.Examples, size)));
            steps = 0;
        }

        for (int k = 0; k < steps; k++)
        {
            int[] chosen = order.At(k).ToArray();
            Consider(ExampleLists.At(set.Examples, chosen), set.Apart(options, chosen));
        }

        if (unlearned is not null)
        {
            int together = options.Unlearning.BatchSize ?? options.Schedule.BatchSize;
            Consider(ExampleLists.At(unlearned.Examples, Longest(unlearned.Examples, together)));
        }

        return [.. fullest.Select(batch => Array.ConvertAll(batch.Examples, Answered))];

        void Consider(IReadOnlyList<EncodedExample> examples, Func<int, bool>? apart = null)
        {
            int most = StepShare.MostTokens(options, ExampleLists.Tokens(examples, 0, examples.Count), ranks);
            foreach (MicroBatch run in BatchBuilder.MicroBatches(examples, most, apart))
            {
                // Rows at the head are the tokens but each example's first.
                int tokens = (int)ExampleLists.Tokens(examples, run.First, run.Count), heads = tokens - run.Count;
                if (fullest.Exists(batch => batch.Tokens >= tokens && batch.Tokens - batch.Examples.Length >= heads))
                    continue;

                fullest.RemoveAll(batch => batch.Tokens <= tokens && batch.Tokens - batch.Examples.Length <= heads);
                fullest.Add((tokens, [.. Enumerable.Range(run.First, run.Count).Select(i => examples[i])]));
            }
        }
    }

    private static int[] Longest(IReadOnlyList<EncodedExample> examples, int count) =>
        [.. Enumerable.Range(0, examples.Count).OrderByDescending(i => ExampleLists.LengthAt(examples, i)).Take(count)];

    private static EncodedExample Answered(EncodedExample example)
    {
        var response = new bool[example.Length];
        response.AsSpan(1).Fill(true);
        return new EncodedExample { Index = example.Index, Ids = example.Ids, Response = response };
    }
}
