using Forgetting.Core;
using Forgetting.Text;

namespace Forgetting.Checkpoints.Gguf;

/// <summary>
/// A conversation's layout as pieces of fixed text around the contents, which is all that a template of ollama can say of most: found by
/// laying out conversations and checked on others.
/// </summary>
/// <param name="Start">In front of a conversation without a system message.</param>
/// <param name="System">Around a system message that begins it, with what goes before; null where the layout takes none.</param>
/// <param name="User">Around a user's message.</param>
/// <param name="Assistant">Around an assistant's.</param>
/// <param name="Answer">In front of the answer that is to come.</param>
internal sealed record TurnPieces(
    string Start, (string Before, string After)? System, (string Before, string After) User, (string Before, string After) Assistant,
    string Answer)
{
    // No template has these in it, and none trims them.
    private const string Question1 = "q1q", Answer1 = "a1a", Question2 = "q2q", Rules = "s1s";

    /// <summary>The pieces of a layout; null where it is not made of such.</summary>
    /// <param name="render">The text of a conversation, with what goes before the next answer or without.</param>
    public static TurnPieces? From(Func<IReadOnlyList<ChatMessage>, bool, string> render)
    {
        try
        {
            string whole = render([Ask(Question1), Reply(Answer1), Ask(Question2)], true);
            if (Between(whole, Question1, Answer1, Question2) is not [var first, var answered, var asked, var last])
                return null;

            string question = End(render, Ask(Question1)), answer = End(render, Ask(Question1), Reply(Answer1));

            // What follows a last question is the question's, or what follows every question; what follows a last answer is the answer's,
            // or what the first question does not have in front of it.
            int after = answered.StartsWith(question, StringComparison.Ordinal) && last.StartsWith(question, StringComparison.Ordinal)
                ? question.Length
                : answered.AsSpan().CommonPrefixLength(last);
            bool isAnswers = asked.StartsWith(answer, StringComparison.Ordinal)
                && first.EndsWith(asked[answer.Length..], StringComparison.Ordinal);
            int closing = isAnswers ? answer.Length : asked.Length - CommonSuffix(first, asked);
            string before = asked[closing..];
            (string, string) user = (before, answered[..after]), assistant = (answered[after..], asked[..closing]);
            var found = new TurnPieces(first[..^before.Length], SystemOf(render, before), user, assistant, last[after..]);
            bool isTrue = found.Says(render, []) && (found.System is null || found.Says(render, [new ChatMessage("system", Rules)]));
            return isTrue ? found : null;
        }
        catch (UserException)
        {
            return null; // refuses what every conversation may hold
        }
    }

    // What stands behind the last message where nothing is asked for.
    private static string End(Func<IReadOnlyList<ChatMessage>, bool, string> render, params ChatMessage[] messages)
    {
        string text = render(messages, false), last = messages[^1].Content;
        return text[(text.LastIndexOf(last, StringComparison.Ordinal) + last.Length)..];
    }

    private static (string Before, string After)? SystemOf(Func<IReadOnlyList<ChatMessage>, bool, string> render, string beforeUser)
    {
        try
        {
            string whole = render([new ChatMessage("system", Rules), Ask(Question1)], true);
            return Between(whole, Rules, Question1) is [var before, var after, _] && after.EndsWith(beforeUser, StringComparison.Ordinal)
                ? (before, after[..^beforeUser.Length])
                : null;
        }
        catch (UserException)
        {
            return null; // takes no system message
        }
    }

    // Whether the pieces, put together, are what the layout makes of conversations they were not taken from.
    private bool Says(Func<IReadOnlyList<ChatMessage>, bool, string> render, ChatMessage[] system)
    {
        ChatMessage[] one = [.. system, Ask("x")], three = [.. system, Ask("x"), Reply("y"), Ask("z"), Reply("v"), Ask("w")];
        return render(one, true) == Text(one) && render(three, true) == Text(three);
    }

    private string Text(IEnumerable<ChatMessage> messages)
    {
        string text = Start;
        foreach (ChatMessage message in messages)
        {
            (string before, string after) = message.Role switch { "system" => System!.Value, "user" => User, _ => Assistant };

            // What is in front of a system message has the start in it.
            text = (message.Role == "system" ? "" : text) + before + message.Content + after;
        }

        return text + Answer;
    }

    private static ChatMessage Ask(string content) => new("user", content);

    private static ChatMessage Reply(string content) => new("assistant", content);

    // What stands around contents that are each there once, in this order; null otherwise.
    private static string[]? Between(string text, params string[] contents)
    {
        string[] parts = text.Split(contents, StringSplitOptions.None);
        int at = 0;
        foreach (string content in contents)
        {
            int found = text.IndexOf(content, at, StringComparison.Ordinal);
            if (found < 0)
                return null;

            at = found + content.Length;
        }

        return parts.Length == contents.Length + 1 ? parts : null;
    }

    private static int CommonSuffix(string a, string b)
    {
        int length = 0;
        while (length < Math.Min(a.Length, b.Length) && a[^(length + 1)] == b[^(length + 1)])
        {
            length++;
        }

        return length;
    }
}
