using System.Text;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Serving;
using Forgetting.Text;

namespace Forgetting.Cli;

/// <summary>A conversation with a model.</summary>
/// <param name="model">The model.</param>
/// <param name="layout">How the conversation becomes text.</param>
/// <param name="options">How answers are drawn.</param>
/// <param name="system">The message that stands first, or null.</param>
internal sealed class ChatSession(LoadedModel model, MessageLayout layout, GenerationOptions options, string? system) : IDisposable
{
    private readonly ExampleEncoder _encoder = new(model.Tokenizer, int.MaxValue, layout: layout);
    private readonly ServedModel _served = ServedModel.Alone(model);
    private readonly List<ChatMessage> _messages = system is null ? [] : [new ChatMessage("system", system)];
    private readonly int _first = system is null ? 0 : 1;

    /// <summary>The conversation so far.</summary>
    public IReadOnlyList<ChatMessage> Messages => _messages;

    /// <summary>Tokens of the conversation that the last answer did not have to read again.</summary>
    public int Reused { get; private set; }

    /// <inheritdoc/>
    public void Dispose() => _served.Dispose();

    /// <summary>Answers a question and remembers both. An answer that is cancelled is remembered as far as it came.</summary>
    /// <param name="show">Called with the parts of the answer as they come.</param>
    /// <exception cref="UserException">The question alone fills the model's context, or the template rejects the conversation; the question
    /// is then not remembered.</exception>
    public void Answer(string question, Action<string> show, CancellationToken cancellation)
    {
        _messages.Add(new ChatMessage("user", question));
        var answer = new StringBuilder();
        try
        {
            Reused = _served.Continue(Prompt(), options, model.Tokenizer.StartDecoding(), Take, cancellation).Reused;
        }
        catch (UserException)
        {
            _messages.RemoveAt(_messages.Count - 1);
            throw;
        }
        catch (OperationCanceledException)
        {
            // The user has read enough of it.
        }

        _messages.Add(new ChatMessage("assistant", answer.ToString()));

        void Take(string part)
        {
            answer.Append(part);
            show(part);
        }
    }

    // A conversation that has outgrown the context loses its oldest questions with their answers.
    private int[] Prompt()
    {
        while (true)
        {
            int[] ids = _encoder.EncodePrompt(new DataExample { Index = 0, Place = "the conversation", Messages = _messages });
            if (ids.Length < model.Decoder.Config.ContextLength || _messages.Count - _first < 3)
                return ids;

            _messages.RemoveRange(_first, 2);
        }
    }
}
