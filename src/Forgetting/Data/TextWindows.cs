using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Data;

/// <summary>Plain text as examples for next-token training.</summary>
internal static class TextWindows
{
    /// <summary>Reads a text file and cuts it, see <see cref="Cut"/>.</summary>
    /// <exception cref="UserException">The file is missing, no plain text, or too short to predict anything.</exception>
    public static IReadOnlyList<EncodedExample> Read(string file, Tokenizer tokenizer, int length)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        int[] ids = tokenizer.Encode(InputFile.ReadPlainText(file));
        return ids.Length > 1 ? Cut(ids, length) : throw new UserException($"{file}: {ids.Length} tokens; expected a text of at least 2");
    }

    /// <summary>
    /// Windows of at most <paramref name="length"/> tokens, each beginning with the last token of the one before, so that every token but
    /// the very first is predicted exactly once.
    /// </summary>
    /// <param name="ids">The token stream, at least two.</param>
    /// <param name="length">Tokens of a window, at least two.</param>
    public static IReadOnlyList<EncodedExample> Cut(ReadOnlySpan<int> ids, int length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 2);
        List<EncodedExample> windows = [];
        for (int start = 0; start + 1 < ids.Length; start += length - 1)
        {
            int[] window = ids.Slice(start, Math.Min(length, ids.Length - start)).ToArray();
            bool[] response = new bool[window.Length];
            response.AsSpan(1).Fill(true);
            windows.Add(new EncodedExample { Index = windows.Count, Ids = window, Response = response });
        }

        return windows;
    }
}
