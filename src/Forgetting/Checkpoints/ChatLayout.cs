using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Text.ChatTemplates;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Checkpoints;

/// <summary>The layout of conversations that a checkpoint or an adapter was trained on, or that a setting names.</summary>
internal static class ChatLayout
{
    /// <summary>The layout of conversations that a setting names.</summary>
    /// <param name="name"><c>auto</c>, <c>tulu</c>, <c>plain</c>, <c>chat</c>, or the path of a file.</param>
    /// <param name="model">The checkpoint, whose template <c>chat</c> is and whose special tokens a file's template uses.</param>
    /// <param name="adapter">The model's adapter, whose template goes before the checkpoint's; or null.</param>
    /// <param name="now">The time that a template tells; the clock's if null.</param>
    /// <exception cref="UserException">There is none, or it is malformed.</exception>
    public static MessageLayout Named(string name, string model, string? adapter = null, Func<DateTime>? now = null) => name switch
    {
        "auto" => Own(model, adapter, now) ?? MessageLayout.Tulu,
        "tulu" => MessageLayout.Tulu,
        "plain" => MessageLayout.Plain,
        "chat" => Own(model, adapter, now)
            ?? throw new UserException(
                $"{model}: no chat template; expected {ChatTemplate.FileName}, or chat_template in tokenizer_config.json"),
        _ when File.Exists(name) => MessageLayout.From(ChatTemplate.LoadFile(name, model, now)),
        _ => throw new UserException($"template is \"{name}\"; expected tulu, plain, chat or a file with a chat template"),
    };

    /// <summary>The layout that an adapter or its model says it was trained on; null where neither has a chat template.</summary>
    /// <exception cref="UserException">It is malformed.</exception>
    public static MessageLayout? Own(string model, string? adapter = null, Func<DateTime>? now = null)
    {
        ChatTemplate? template =
            AdapterTemplate(adapter) is { } file ? ChatTemplate.LoadFile(file, model, now) : ChatTemplate.Load(model, now);
        return template is null ? null : MessageLayout.From(template);
    }

    /// <summary>
    /// The layout in which benchmarks are asked by default: a chat template's; null for the other two, whose benchmarks are texts as they
    /// are, as the paper's.
    /// </summary>
    public static MessageLayout? ForEvaluation(MessageLayout? layout) => layout?.Template is null ? null : layout;

    /// <summary>The id that closes an answer in a layout; null where none does, or the tokenizer has no end of a text.</summary>
    public static int? TurnEnd(Tokenizer tokenizer, MessageLayout layout)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        return tokenizer.EosIds.Count == 0 ? null : new ExampleEncoder(tokenizer, int.MaxValue, layout: layout).TurnEnd;
    }

    /// <summary>File of the chat template that lies with an adapter; null where there is none.</summary>
    internal static string? AdapterTemplate(string? adapter) =>
        adapter != null && Path.Combine(adapter, ChatTemplate.FileName) is var file && File.Exists(file) ? file : null;
}
