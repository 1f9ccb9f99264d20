using System.Text.Json;
using Forgetting.Data;

namespace Forgetting.Text.ChatTemplates;

/// <summary>What a chat template is given of an example.</summary>
/// <param name="Messages">The turns.</param>
/// <param name="Variables"><see cref="DataExample.Variables"/>.</param>
/// <param name="Guard">Applied to every text that comes from the data, keys of objects and the roles' names too; null for none.</param>
internal sealed record TemplateInput(
    IReadOnlyList<ChatMessage> Messages, IReadOnlyDictionary<string, JsonElement>? Variables = null, Func<string, string>? Guard = null)
{
    private const string Options = "chat_template_kwargs";

    /// <summary>Applied to roles; null for <see cref="Guard"/>.</summary>
    public Func<string, string>? RoleGuard { get; init; }

    /// <summary>The content of a turn as the template sees it.</summary>
    public string Content(int turn) => Guarded(Messages[turn].Content);

    /// <summary>The values of <c>messages</c>.</summary>
    /// <param name="count">Turns from the first on.</param>
    public List<object?> Turns(int count) => [.. Messages.Take(count).Select(Turn)];

    /// <summary>The variables by name; those of <c>chat_template_kwargs</c> among them.</summary>
    public IEnumerable<KeyValuePair<string, object?>> Named()
    {
        foreach ((string name, JsonElement value) in Variables ?? new Dictionary<string, JsonElement>())
        {
            if (name != Options || value.ValueKind != JsonValueKind.Object)
            {
                yield return new(name, Value(value));
                continue;
            }

            foreach (JsonProperty option in value.EnumerateObject())
            {
                yield return new(option.Name, Value(option.Value));
            }
        }
    }

    private TemplateMap Turn(ChatMessage message)
    {
        TemplateMap map = new()
        {
            ["role"] = RoleGuard is { } guard ? guard(message.Role) : Guarded(message.Role),
            ["content"] = message.NoContent ? null : Guarded(message.Content),
        };
        foreach ((string key, JsonElement value) in message.More ?? [])
        {
            map[Guarded(key)] = Value(value);
        }

        return map;
    }

    private object? Value(JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                TemplateMap map = [];
                foreach (JsonProperty member in value.EnumerateObject())
                {
                    map[Guarded(member.Name)] = Value(member.Value);
                }

                return map;
            case JsonValueKind.Array:
                return value.EnumerateArray().Select(Value).ToList();
            case JsonValueKind.String:
                return Guarded(value.GetString()!);
            case JsonValueKind.Number:
                return value.TryGetInt64(out long whole) ? whole : value.GetDouble();
            case JsonValueKind.True or JsonValueKind.False:
                return value.GetBoolean();
            default:
                return null;
        }
    }

    private string Guarded(string text) => Guard is null ? text : Guard(text);
}
