using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Text;

/// <summary>One turn of a conversation.</summary>
/// <param name="Role">system, user or assistant; a chat template may know others.</param>
/// <param name="Content">Its text; of a list of text parts, all of them one behind the other.</param>
public sealed record ChatMessage(string Role, string Content)
{
    private const string WeightKey = "weight", SignKey = "sign";

    private const int MaxWeight = 1000;

    /// <summary>
    /// For an assistant's turn: as how many tokens each of its tokens counts. 0 is one that is not learnt, as
    /// OpenAI's format has it; null is 1.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Weight { get; init; }

    /// <summary>
    /// For an assistant's turn: 1 that it is learnt, −1 that it is forgotten, 0 that it is neither; null
    /// where its record or its score says.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? Sign { get; init; }

    /// <summary>
    /// For an assistant's turn: stretches of <see cref="Content"/> with a sign of their own, which goes before <see cref="Sign"/>, none
    /// upon another; null for none. Start is the first character, from 0, End the one behind the last, counted in Unicode code points as
    /// Python does.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [JsonConverter(typeof(SpansConverter))]
    public IReadOnlyList<(int Start, int End, int Sign)>? Spans { get; init; }

    /// <summary>
    /// Whatever else the data says of the turn, such as <c>tool_calls</c> or <c>name</c>, for chat templates that write it; null where
    /// there is nothing.
    /// </summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? More { get; init; }

    /// <summary>The content is null in the data, which templates can tell from an empty one.</summary>
    [JsonIgnore]
    public bool NoContent { get; init; }

    /// <summary>What training makes of the turn, but for its <see cref="Spans"/>.</summary>
    [JsonIgnore]
    internal TokenMark Mark => TokenMark.From(Role == "assistant", Sign, Weight);

    /// <summary>Whether some of the turn is trained on.</summary>
    [JsonIgnore]
    internal bool IsTrained =>
        Mark.Response || (Role == "assistant" && Weight != 0 && Spans is { } spans && spans.Any(span => span.Sign != 0));

    /// <summary>Reads a message: <c>role</c> and <c>content</c>, or <c>from</c> and <c>value</c> as ShareGPT has them.</summary>
    /// <exception cref="UserException">The role is missing; the content is no text, or missing where no other key stands for it; the
    /// weight or the sign is none.</exception>
    internal static ChatMessage Read(JsonView view)
    {
        bool shareGpt = view.Find("role") is null && view.Find("from") is not null;
        (string roleKey, string contentKey) = shareGpt ? ("from", "value") : ("role", "content");
        string role = shareGpt ? RoleOf(view[roleKey].AsString()) : view[roleKey].AsString();
        Dictionary<string, JsonElement> more = view.Members()
            .Where(m => m.Key != roleKey && m.Key != contentKey && m.Key is not (WeightKey or SignKey or SignedSpans.Key)
                && m.Value.Element.ValueKind != JsonValueKind.Null)
            .DistinctBy(m => m.Key).ToDictionary(m => m.Key, m => m.Value.Element);
        foreach ((_, JsonView value) in view.Members())
        {
            CheckTexts(value);
        }

        JsonView? content = view.Find(contentKey);
        string text = content is { } given ? Text(given) : more.Values.Any(Says) ? "" : view[contentKey].AsString();
        double? ownWeight = view.Find(WeightKey) is { } weight ? ReadWeight(weight, role) : null;
        return new ChatMessage(role, text)
        {
            NoContent = content is null,
            Weight = ownWeight,
            Sign = view.Find(SignKey) is { } sign ? ReadSign(sign, role) : null,
            Spans = view.Find(SignedSpans.Key) is { } spans ? ReadSpans(spans, text, role, ownWeight) : null,
            More = more.Count > 0 ? more : null,
        };
    }

    /// <summary>Whether a value says anything: null and empty texts, lists and objects do not.</summary>
    internal static bool Says(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null => false,
        JsonValueKind.String => !value.ValueEquals(""),
        JsonValueKind.Array => value.GetArrayLength() > 0,
        JsonValueKind.Object => value.EnumerateObject().Any(),
        _ => true,
    };

    /// <summary>Makes sure that every text of a value can be read.</summary>
    /// <exception cref="UserException">One is not valid Unicode.</exception>
    internal static void CheckTexts(JsonView value)
    {
        switch (value.Element.ValueKind)
        {
            case JsonValueKind.String:
                value.AsString();
                break;
            case JsonValueKind.Array:
                foreach (JsonView item in value.Items())
                {
                    CheckTexts(item);
                }

                break;
            case JsonValueKind.Object:
                foreach ((_, JsonView member) in value.Members())
                {
                    CheckTexts(member);
                }

                break;
        }
    }

    // ShareGPT's names of the roles, and those that came with its descendants.
    private static string RoleOf(string from) => from switch
    {
        "human" => "user",
        "gpt" or "chatgpt" or "bing" or "bard" or "model" or "function_call" => "assistant",
        "observation" or "function_response" => "tool",
        _ => from,
    };

    private static string Text(JsonView content) => content.Element.ValueKind == JsonValueKind.Array && content.Element.GetArrayLength() > 0
        ? string.Concat(content.Items().Select(Part))
        : content.AsString();

    private static string Part(JsonView part)
    {
        if (part.Element.ValueKind == JsonValueKind.String)
            return part.AsString();

        JsonView type = part["type"];
        return type.AsString() == "text"
            ? part["text"].AsString()
            : throw type.Wrong($"a part of type {type.Describe()}", "parts of type \"text\"");
    }

    /// <summary>Reads a sign; a table has it as a text.</summary>
    /// <exception cref="UserException">It is none.</exception>
    internal static int ReadSign(JsonView sign) =>
        sign.Element.ValueKind == JsonValueKind.String
        && int.TryParse(sign.AsString(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int text)
        && text is >= -1 and <= 1
            ? text
            : sign.Element.ValueKind == JsonValueKind.Number && sign.Element.GetDouble() is -1 or 0 or 1 ? (int)sign.Element.GetDouble()
            : throw sign.Wrong(sign.Describe(), "-1 (forgotten), 0 (neither) or 1 (learnt)");

    private static int ReadSign(JsonView sign, string role)
    {
        int value = ReadSign(sign);
        return value == 0 || role == "assistant"
            ? value
            : throw sign.Wrong($"{value} in a message of the {role}", "one in an assistant's message only: no other is learnt");
    }

    private static IReadOnlyList<(int Start, int End, int Sign)>? ReadSpans(JsonView spans, string text, string role, double? weight)
    {
        IReadOnlyList<(int Start, int End, int Sign)>? read = SignedSpans.Read(spans, text);
        return read is null || (role == "assistant" && weight != 0) ? read
            : throw spans.Wrong(
                role == "assistant" ? "given in a message of weight 0" : $"given in a message of the {role}",
                "spans in an assistant's message that is trained on");
    }

    /// <summary>Reads a weight; a table has it as a text.</summary>
    /// <exception cref="UserException">It is none.</exception>
    internal static double ReadWeight(JsonView weight)
    {
        double value = weight.Element.ValueKind == JsonValueKind.Number ? weight.Element.GetDouble()
            : weight.Element.ValueKind == JsonValueKind.String
                && double.TryParse(weight.AsString(), NumberStyles.Float, CultureInfo.InvariantCulture, out double text)
            ? text
            : double.NaN;
        return value is >= 0 and <= MaxWeight
            ? value
            : throw weight.Wrong(weight.Describe(), $"a number from 0 (not trained on) to {MaxWeight}");
    }

    private static double ReadWeight(JsonView weight, string role)
    {
        double value = ReadWeight(weight);
        return value == 0 || role == "assistant"
            ? value
            : throw weight.Wrong(
                $"{weight.Element.GetRawText()} in a message of the {role}", "one in an assistant's message only: no other is learnt");
    }
}
