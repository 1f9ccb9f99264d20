using System.Runtime.CompilerServices;
using Forgetting.Core;
using Forgetting.Models;
using Microsoft.Extensions.AI;
using Message = Forgetting.Text.ChatMessage;

namespace Forgetting.Extensions.AI;

/// <summary>
/// A language model as an <see cref="IChatClient"/>: conversations are laid out and answers ended as <see cref="LanguageModel.ChatAsync"/>
/// does, requests are served together. Options that are not given are those of <see cref="GenerationOptions"/>: the most
/// probable tokens. Tools, other content than text and other formats of the answer are refused; penalties and other options are not used.
/// Usage and finish reason are not told.
/// </summary>
/// <param name="model">The model.</param>
/// <param name="ownsModel">Whether disposing of the client disposes of the model.</param>
public sealed class LanguageModelChatClient(LanguageModel model, bool ownsModel = false) : IChatClient
{
    private readonly LanguageModel _model = model ?? throw new ArgumentNullException(nameof(model));

    /// <inheritdoc/>
    /// <exception cref="UserException">The conversation is empty, fills the context, is refused by the template or has what
    /// the model has no use for.</exception>
    public async Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default) =>
        await GetStreamingResponseAsync(messages, options, cancellationToken).ToChatResponseAsync(cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    /// <exception cref="UserException">The conversation is empty, fills the context, is refused by the template or has what
    /// the model has no use for.</exception>
    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        return Stream(Conversation(messages, options), Options(options), cancellationToken);
    }

    /// <inheritdoc/>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey != null ? null
            : serviceType.IsInstanceOfType(this) ? this
            : serviceType.IsInstanceOfType(_model) ? _model
            : serviceType == typeof(ChatClientMetadata) ? new ChatClientMetadata("forgetting", defaultModelId: _model.Path)
            : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (ownsModel)
            _model.Dispose();
    }

    private async IAsyncEnumerable<ChatResponseUpdate> Stream(
        List<Message> messages, GenerationOptions options, [EnumeratorCancellation] CancellationToken cancellation)
    {
        string id = Guid.NewGuid().ToString("N");
        yield return Update("");
        await foreach (string part in _model.ChatAsync(messages, options, cancellation).ConfigureAwait(false))
        {
            yield return Update(part);
        }

        ChatResponseUpdate Update(string text) =>
            new(ChatRole.Assistant, text) { ResponseId = id, MessageId = id, ModelId = _model.Path, CreatedAt = DateTimeOffset.UtcNow };
    }

    private static List<Message> Conversation(IEnumerable<ChatMessage> messages, ChatOptions? options)
    {
        List<Message> conversation = options?.Instructions is { Length: > 0 } instructions ? [new("system", instructions)] : [];
        foreach (ChatMessage message in messages)
        {
            if (message.Contents.FirstOrDefault(content => content is not (TextContent or TextReasoningContent)) is { } other)
                throw new UserException($"message {conversation.Count} has content of type {other.GetType().Name}, expected text only");

            conversation.Add(new Message(message.Role.Value, message.Text));
        }

        return conversation;
    }

    private static GenerationOptions Options(ChatOptions? options)
    {
        if (options?.Tools is { Count: > 0 })
            throw new UserException($"{options.Tools.Count} tools are given, expected none: the model answers in text");

        if (options?.ResponseFormat is not (null or ChatResponseFormatText))
            throw new UserException("a response format other than text is asked for, expected none");

        var standard = new GenerationOptions();
        return standard with
        {
            MaxNewTokens = options?.MaxOutputTokens ?? standard.MaxNewTokens,
            Temperature = options?.Temperature ?? standard.Temperature,
            TopK = options?.TopK ?? standard.TopK,
            TopP = options?.TopP ?? standard.TopP,
            Seed = unchecked((ulong)(options?.Seed ?? (long)standard.Seed)),
            StopTexts = [.. options?.StopSequences ?? []],
        };
    }
}

/// <summary>Makes chat clients.</summary>
public static class LanguageModelExtensions
{
    /// <summary>The model as a chat client, which does not own it.</summary>
    public static IChatClient AsChatClient(this LanguageModel model) => new LanguageModelChatClient(model);
}
