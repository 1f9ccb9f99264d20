using Forgetting.HuggingFace.ChatTemplates;

namespace Forgetting.Data;

/// <summary>How the messages of a conversation become text.</summary>
public sealed class MessageLayout
{
    private MessageLayout(ChatTemplate? template) => Template = template;

    /// <summary>The paper's: <c>&lt;|role|&gt;\n{content}\n</c>, an assistant's content followed by eos (arXiv 2508.04329).</summary>
    public static MessageLayout Tulu { get; } = new(null);

    /// <summary>
    /// No markers (this project's choice): the contents as they are, joined as a prompt and its completion are, and eos behind each assistant's, after
    /// which nothing joins. A question with its answer is thus the same tokens as a prompt with its completion.
    /// </summary>
    public static MessageLayout Plain { get; } = new(null);

    /// <summary>The template that lays out everything, special tokens included; null for the two layouts above.</summary>
    internal ChatTemplate? Template { get; }

    /// <summary>A chat template's layout; a prompt with its completion is then a user's turn with the assistant's.</summary>
    public static MessageLayout Of(ChatTemplate template) => new(template);
}
