using Forgetting.Core;
using Forgetting.Data;

namespace Forgetting.Models;

/// <summary>Checks a batch against a model: an id outside the tables would read or write foreign memory.</summary>
internal static class BatchCheck
{
    /// <param name="batch">The batch.</param>
    /// <param name="losses">Places for losses.</param>
    /// <param name="config">The model.</param>
    /// <exception cref="UserException">A token or position is outside the model; names the example.</exception>
    public static void Require(TokenBatch batch, int losses, ModelConfig config)
    {
        if (losses != batch.HeadRows.Length)
            throw new ArgumentException($"{losses} losses for {batch.HeadRows.Length} head rows");

        for (int document = 0; document < batch.Documents; document++)
        {
            int length = batch.Offsets[document + 1] - batch.Offsets[document];
            if (length > config.ContextLength)
            {
                throw new UserException(
                    $"example {batch.Examples[document]}: {length} tokens, expected at most the context length {config.ContextLength}");
            }

            RequireIds(batch, document, batch.Ids.AsSpan(batch.Offsets[document], length), config);
            int head = batch.HeadOffsets[document];
            RequireIds(batch, document, batch.Targets.AsSpan(head, batch.HeadOffsets[document + 1] - head), config);
        }
    }

    private static void RequireIds(TokenBatch batch, int document, ReadOnlySpan<int> ids, ModelConfig config)
    {
        foreach (int id in ids)
        {
            if ((uint)id >= (uint)config.VocabularySize)
            {
                throw new UserException(
                    $"example {batch.Examples[document]}: token id {id}, expected 0 to {config.VocabularySize - 1} (is "
                    + "this the model's tokenizer?)");
            }
        }
    }
}
