using Forgetting.Data;

namespace Forgetting.Training;

/// <summary>The step of a run whose largest micro-batch is the run's largest.</summary>
internal static class FullestStep
{
    /// <summary>Its examples, with every token a response token, so that no other step takes more memory.</summary>
    /// <param name="set">What is learnt.</param>
    /// <param name="unlearned">What is unlearnt in steps of its own, or null; these are taken to be the longest at once.</param>
    /// <param name="order">Order of the learning steps.</param>
    /// <param name="steps">Learning steps.</param>
    /// <param name="options">Sizes of batches.</param>
    public static IReadOnlyList<EncodedExample> Of(TrainingSet set, TrainingSet? unlearned, DataOrder order, int steps, TrainingOptions options)
    {
        List<EncodedExample> fullest = [];
        int most = 0;
        for (int k = 0; k < steps; k++)
        {
            List<EncodedExample> examples = [];
            foreach (int place in order.At(k))
            {
                examples.Add(set.Examples[place]);
            }

            Consider(examples);
        }

        if (unlearned is not null)
            Consider([.. unlearned.Examples.OrderByDescending(e => e.Length).Take(options.Unlearning.BatchSize ?? options.Schedule.BatchSize)]);

        return [.. fullest.Select(Answered)];

        void Consider(List<EncodedExample> examples)
        {
            int tokens = BatchBuilder.MicroBatches(examples, options.Compute.MicroBatchTokens).Max(run => examples.Skip(run.First).Take(run.Count).Sum(e => e.Length));
            if (tokens > most)
                (fullest, most) = (examples, tokens);
        }
    }

    private static EncodedExample Answered(EncodedExample example)
    {
        var response = new bool[example.Length];
        response.AsSpan(1).Fill(true);
        return new EncodedExample { Index = example.Index, Ids = example.Ids, Response = response };
    }
}
