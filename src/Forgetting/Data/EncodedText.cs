using Forgetting.Core;
using Forgetting.Text;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Data;

/// <summary>A stretch of tokens with their mark: those with a character between two places.</summary>
/// <param name="From">Where the first place falls.</param>
/// <param name="To">Where the second does.</param>
/// <param name="Mark">The mark.</param>
/// <param name="Inner">Stretches of it that have another mark.</param>
internal readonly record struct TokenStretch(TokenCut From, TokenCut To, TokenMark Mark, IReadOnlyList<TokenStretch> Inner);

/// <summary>Ids and marks of an example as they are put together.</summary>
internal sealed class EncodedText
{
    private readonly List<int> _ids = [];
    private readonly List<TokenMark> _marks = [];

    /// <summary>Tokens so far.</summary>
    public int Count => _ids.Count;

    /// <summary>The ids so far.</summary>
    public int[] Ids => [.. _ids];

    /// <summary>Whether some token has characters on both sides of a place where learning begins.</summary>
    public bool Straddled { get; private set; }

    /// <summary>Adds ids of the same mark.</summary>
    public void Add(ReadOnlySpan<int> added, TokenMark mark)
    {
        foreach (int id in added)
        {
            _ids.Add(id);

            // Nothing predicts the first token of an example.
            _marks.Add(_marks.Count > 0 ? mark : TokenMark.Given);
        }
    }

    /// <summary>
    /// Adds ids of which stretches are trained on: a token is, if any of its characters lies between the two places. A token with a
    /// character of an inner stretch has its mark; of two of them that of the lower sign.
    /// </summary>
    public void Add(ReadOnlySpan<int> added, IReadOnlyList<TokenStretch> trained)
    {
        int first = Count;
        Add(added, TokenMark.Given);
        foreach (TokenStretch whole in trained)
        {
            int begin = Math.Max(first + whole.From.Before, 1), end = first + whole.To.Begun;
            Mark(begin, end, whole.Mark);
            foreach (TokenStretch inner in whole.Inner.OrderByDescending(s => s.Mark.Response ? s.Mark.Sign : 0))
            {
                Mark(Math.Max(first + inner.From.Before, begin), Math.Min(first + inner.To.Begun, end), inner.Mark);
            }

            Straddled |= whole.From.Inside && begin < end && _marks[begin].Response;
        }

        void Mark(int begin, int end, TokenMark mark)
        {
            for (int i = begin; i < end; i++)
            {
                _marks[i] = mark;
            }
        }
    }

    /// <summary>The text in windows, see <see cref="TextWindows.Cut"/>, without those of which nothing is trained on.</summary>
    public IEnumerable<EncodedExample> Windows(DataExample example, int length)
    {
        foreach (EncodedExample window in TextWindows.Cut(Ids, length))
        {
            int start = window.Index * (length - 1);
            TokenMark[] marks = [TokenMark.Given, .. _marks[(start + 1)..(start + window.Length)]];
            if (marks.Any(mark => mark.Response))
                yield return Marked(window.Ids, marks) with { Index = example.Index };
        }
    }

    private static EncodedExample Marked(int[] ids, TokenMark[] marks) => new()
    {
        Index = 0,
        Ids = ids,
        Response = [.. marks.Select(mark => mark.Response)],
        Given = Array.Exists(marks, mark => mark.Sign != 0) ? [.. marks.Select(mark => mark.Sign)] : null,
        Weights = Array.Exists(marks, mark => mark.Weight != 1) ? [.. marks.Select(mark => mark.Weight)] : null,
        Withheld = Array.Exists(marks, mark => mark.Withheld) ? [.. marks.Select(mark => mark.Withheld)] : null,
    };

    /// <summary>The example, cut to a length.</summary>
    /// <exception cref="UserException">It has nothing to train on, or what is given fills the length; its line is named.</exception>
    public EncodedExample Finish(DataExample example, int maxLength)
    {
        int first = _marks.FindIndex(mark => mark.Response);
        if (first < 0)
            throw new UserException($"{example.Place}: nothing to train on; expected an assistant message");

        if (first >= maxLength)
        {
            throw new UserException(
                $"{example.Place}: the prompt takes {first} tokens; expected fewer than the maximum length of {maxLength}");
        }

        int length = Math.Min(_ids.Count, maxLength);
        return Marked([.. _ids[..length]], [.. _marks[..length]]) with
        {
            Index = example.Index,
            Rejected = example.Rejected,
            Conversation = example.Messages != null,
        };
    }
}
