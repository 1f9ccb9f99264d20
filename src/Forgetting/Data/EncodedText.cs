using Forgetting.Core;
using Forgetting.Text;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Data;

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

    /// <summary>Adds ids of which stretches are trained on: a token is, if any of its characters lies between the two places.</summary>
    public void Add(ReadOnlySpan<int> added, IReadOnlyList<(TokenCut From, TokenCut To, TokenMark Mark)> trained)
    {
        int first = Count;
        Add(added, TokenMark.Given);
        foreach ((TokenCut from, TokenCut to, TokenMark mark) in trained)
        {
            for (int i = Math.Max(first + from.Before, 1); i < first + to.Begun; i++)
            {
                _marks[i] = mark;
            }

            Straddled |= from.Inside && from.Before < to.Begun;
        }
    }

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
        sbyte[] signs = [.. _marks[..length].Select(mark => mark.Sign)];
        return new EncodedExample
        {
            Index = example.Index,
            Ids = [.. _ids[..length]],
            Response = [.. _marks[..length].Select(mark => mark.Response)],
            Given = signs.AsSpan().ContainsAnyExcept((sbyte)0) ? signs : null,
            Weights = _marks[..length].Exists(mark => mark.Weight != 1) ? [.. _marks[..length].Select(mark => mark.Weight)] : null,
            Rejected = example.Rejected,
            Conversation = example.Messages != null,
        };
    }
}
