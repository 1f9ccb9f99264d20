using Forgetting.Core;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Data;

/// <summary>Ids and marks of an example as they are put together.</summary>
internal sealed class EncodedText
{
    private readonly List<int> _ids = [];
    private readonly List<bool> _response = [];

    /// <summary>Tokens so far.</summary>
    public int Count => _ids.Count;

    /// <summary>The ids so far.</summary>
    public int[] Ids => [.. _ids];

    /// <summary>Whether some token has characters on both sides of a place where learning begins.</summary>
    public bool Straddled { get; private set; }

    /// <summary>Adds ids that all are trained on, or none.</summary>
    public void Add(ReadOnlySpan<int> added, bool trained)
    {
        foreach (int id in added)
        {
            _ids.Add(id);

            // Nothing predicts the first token of an example.
            _response.Add(trained && _response.Count > 0);
        }
    }

    /// <summary>Adds ids of which stretches are trained on: a token is, if any of its characters lies between the two places.</summary>
    public void Add(ReadOnlySpan<int> added, IReadOnlyList<(TokenCut From, TokenCut To)> trained)
    {
        int first = Count;
        Add(added, trained: false);
        foreach ((TokenCut from, TokenCut to) in trained)
        {
            for (int i = Math.Max(first + from.Before, 1); i < first + to.Begun; i++)
            {
                _response[i] = true;
            }

            Straddled |= from.Inside && from.Before < to.Begun;
        }
    }

    /// <summary>The example, cut to a length.</summary>
    /// <exception cref="UserException">It has nothing to train on, or what is given fills the length; its line is named.</exception>
    public EncodedExample Finish(DataExample example, int maxLength)
    {
        int first = _response.IndexOf(true);
        if (first < 0)
            throw new UserException($"{example.Place}: nothing to train on; expected an assistant message");

        if (first >= maxLength)
            throw new UserException($"{example.Place}: the prompt takes {first} tokens; expected fewer than the maximum length of {maxLength}");

        int length = Math.Min(_ids.Count, maxLength);
        return new EncodedExample
        {
            Index = example.Index, Ids = [.. _ids[..length]], Response = [.. _response[..length]], Conversation = example.Messages != null,
        };
    }
}
