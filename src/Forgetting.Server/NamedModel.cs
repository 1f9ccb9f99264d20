using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Serving;
using Forgetting.Text;

namespace Forgetting.Server;

/// <summary>A model by the name that requests know it by.</summary>
internal sealed class NamedModel
{
    private readonly MessageLayout _layout;

    /// <param name="name">The name.</param>
    /// <param name="served">The model.</param>
    /// <param name="template">How messages become text, as <c>--template</c> takes it.</param>
    /// <param name="limits">How much is answered.</param>
    /// <exception cref="UserException">There is no such template, or it is malformed.</exception>
    public NamedModel(string name, ServedModel served, string template, AnswerLimits limits)
    {
        (Name, Served) = (name, served);
        Limits = limits with { Context = Math.Min(limits.Context, served.Loaded.Decoder.Config.ContextLength) };
        _layout = ChatLayout.Named(template, served.Loaded.Source.Path, served.Loaded.Adapter);
        ChatEnds = served.Loaded.EndIdsIn(_layout);
        TextEnds = served.Loaded.EndIdsIn(null);
    }

    /// <summary>The name.</summary>
    public string Name { get; }

    /// <summary>The model.</summary>
    public ServedModel Served { get; }

    /// <summary>How much is answered.</summary>
    public AnswerLimits Limits { get; }

    /// <summary>Ids that end an answer to messages.</summary>
    public IReadOnlyList<int> ChatEnds { get; }

    /// <summary>Ids that end a text that is continued.</summary>
    public IReadOnlyList<int> TextEnds { get; }

    /// <summary>The ids of a conversation that is to be answered.</summary>
    /// <exception cref="UserException">The template refuses it.</exception>
    public int[] Encode(IReadOnlyList<ChatMessage> messages) =>
        Served.Loaded.EncodeMessages(messages, _layout, "messages");
}
