namespace Forgetting.Data;

/// <summary>A run of consecutive examples of an optimiser step that goes through the model at once.</summary>
/// <param name="First">First example, counted within the step.</param>
/// <param name="Count">Number of examples.</param>
/// <param name="FirstRowKey">Key of its first row: the number of tokens of the step that come before.</param>
internal readonly record struct MicroBatch(int First, int Count, int FirstRowKey);

/// <summary>
/// Puts encoded examples end to end. The prediction of token j of an example sits at the row of its token j − 1, so the rows that reach the
/// output head are those before a token that is predicted. The key of a row is its place in the step with all of the step's examples end to
/// end, which makes dropout masks independent of micro-batching.
/// </summary>
internal static class BatchBuilder
{
    /// <summary>
    /// Cuts a step into runs of at most <paramref name="maxTokens"/> tokens, in order; an example that is longer is a run by itself.
    /// </summary>
    /// <param name="apart">Whether an example may not be in one run with the one before it; null for never.</param>
    public static IReadOnlyList<MicroBatch> MicroBatches(
        IReadOnlyList<EncodedExample> examples, int maxTokens, Func<int, bool>? apart = null)
    {
        ArgumentNullException.ThrowIfNull(examples);
        List<MicroBatch> runs = [];
        int first = 0, key = 0, tokens = 0;
        for (int i = 0; i < examples.Count; i++)
        {
            int length = ExampleLists.LengthAt(examples, i);
            if (i > first && (tokens + length > maxTokens || apart?.Invoke(i) == true))
            {
                runs.Add(new MicroBatch(first, i - first, key));
                (first, key, tokens) = (i, key + tokens, 0);
            }

            tokens += length;
        }

        if (examples.Count > first)
            runs.Add(new MicroBatch(first, examples.Count - first, key));

        return runs;
    }

    /// <summary>
    /// The largest batch that passes over <paramref name="examples"/> in runs of at most <paramref name="maxTokens"/>
    /// tokens can meet: that of the fullest run, with every token but each example's first predicted and of weight 0. For
    /// finding out what memory the passes take.
    /// </summary>
    /// <param name="examples">At least one.</param>
    public static TokenBatch Fullest(IReadOnlyList<EncodedExample> examples, int maxTokens)
    {
        MicroBatch fullest = MicroBatches(examples, maxTokens).MaxBy(run => ExampleLists.Tokens(examples, run.First, run.Count));
        return ForScoring(examples, fullest, allTokens: true);
    }

    /// <summary>A run of a step's examples for training: the response tokens are predicted.</summary>
    /// <param name="examples">The step's examples.</param>
    /// <param name="run">Which of them.</param>
    /// <param name="weights">For each of the step's examples, aligned with its ids: the weight of each token's cross-entropy.
    /// Read at response tokens only.</param>
    /// <param name="baseLogProbabilities">Likewise the log-probability of each token under the base model, or null.</param>
    public static TokenBatch Create(
        IReadOnlyList<EncodedExample> examples, MicroBatch run, IReadOnlyList<float[]> weights,
        IReadOnlyList<float[]>? baseLogProbabilities = null) =>
        Build(examples, run, allTokens: false, weights, baseLogProbabilities);

    /// <summary>
    /// Examples of which only losses are wanted: of the response tokens, or of all tokens but each example's first. What follows an
    /// example's last prediction has no row.
    /// </summary>
    public static TokenBatch ForScoring(IReadOnlyList<EncodedExample> examples, MicroBatch run, bool allTokens) =>
        Build(examples, run, allTokens, weights: null, baseLogProbabilities: null);

    /// <summary>The documents of a batch twice: first without predictions, then as they are. A row has the same key both times.</summary>
    public static TokenBatch Twice(TokenBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        return batch with
        {
            Ids = [.. batch.Ids, .. batch.Ids],
            Positions = [.. batch.Positions, .. batch.Positions],
            Offsets = [.. batch.Offsets, .. batch.Offsets.Skip(1).Select(offset => offset + batch.Rows)],
            Examples = [.. batch.Examples, .. batch.Examples],
            RowKeys = [.. batch.RowKeys, .. batch.RowKeys],
            HeadRows = Array.ConvertAll(batch.HeadRows, row => row + batch.Rows),
            HeadOffsets = [.. new int[batch.Documents], .. batch.HeadOffsets],
        };
    }

    private static TokenBatch Build(
        IReadOnlyList<EncodedExample> examples, MicroBatch run, bool allTokens, IReadOnlyList<float[]>? weights,
        IReadOnlyList<float[]>? baseLogProbabilities)
    {
        ArgumentNullException.ThrowIfNull(examples);
        bool scoring = weights is null;
        int rows = 0, heads = 0;
        EncodedExample[] own = [.. Enumerable.Range(run.First, run.Count).Select(i => examples[i])];
        foreach (EncodedExample example in own)
        {
            rows += Rows(example, scoring, allTokens);
            heads += allTokens ? example.Length - 1 : example.Response.AsSpan(1).Count(true);
        }

        TokenBatch batch = new()
        {
            Ids = new int[rows],
            Positions = new int[rows],
            Offsets = new int[run.Count + 1],
            Examples = new int[run.Count],
            RowKeys = new int[rows],
            HeadRows = new int[heads],
            HeadOffsets = new int[run.Count + 1],
            Targets = new int[heads],
            Weights = new float[heads],
            BaseLogProbabilities = baseLogProbabilities is null ? null : new float[heads],
        };
        int row = 0, head = 0;
        for (int i = 0; i < run.Count; i++)
        {
            EncodedExample example = own[i];
            batch.Examples[i] = example.Index;
            int first = row, end = row + Rows(example, scoring, allTokens);
            for (; row < end; row++)
            {
                batch.Ids[row] = example.Ids[row - first];
                batch.Positions[row] = row - first;
                batch.RowKeys[row] = run.FirstRowKey + row;
            }

            for (int j = 1; j < example.Length; j++)
            {
                if (!(allTokens || example.Response[j]))
                    continue;

                batch.HeadRows[head] = first + j - 1;
                batch.Targets[head] = example.Ids[j];
                if (!scoring)
                    batch.Weights[head] = weights![run.First + i][j];

                if (baseLogProbabilities != null)
                    batch.BaseLogProbabilities![head] = baseLogProbabilities[run.First + i][j];

                head++;
            }

            batch.Offsets[i + 1] = row;
            batch.HeadOffsets[i + 1] = head;
        }

        return batch;
    }

    private static int Rows(EncodedExample example, bool scoring, bool allTokens) =>
        !scoring ? example.Length : allTokens ? Math.Max(example.Length - 1, 0) : Math.Max(Array.LastIndexOf(example.Response, true), 0);
}
