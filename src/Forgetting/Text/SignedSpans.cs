using System.Text.Json;
using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.IO;
using SignedSpan = (int Start, int End, int Sign);

namespace Forgetting.Text;

/// <summary>
/// Reads signs of stretches of an answer (<see cref="ChatMessage.Spans"/>) and finds where they stand in what is written of it.
/// </summary>
internal static class SignedSpans
{
    /// <summary>The key of the data.</summary>
    public const string Key = "spans";

    private const string Start = "start", End = "end", Sign = "sign";

    /// <summary>Reads a list of <c>{"start", "end", "sign"}</c>.</summary>
    /// <param name="spans">The list.</param>
    /// <param name="text">The text that they are of.</param>
    /// <returns>The spans in the order of the text; null where there are none.</returns>
    /// <exception cref="UserException">One has another key, is no sign, does not lie within the text, or lies upon another.</exception>
    public static IReadOnlyList<SignedSpan>? Read(JsonView spans, string text)
    {
        List<SignedSpan> read = [];
        foreach (JsonView span in spans.Items())
        {
            if (span.Members().FirstOrDefault(m => m.Key is not (Start or End or Sign)).Key is { } other)
                throw spans.Wrong($"a list with the key '{other}' in span {read.Count + 1}", $"{Start}, {End} and {Sign}");

            read.Add(new SignedSpan(span[Start].AsInt32(), span[End].AsInt32(), ChatMessage.ReadSign(span[Sign])));
        }

        return read.Count == 0 ? null : Ordered(read, text, (found, expected) => spans.Wrong(found, expected));
    }

    /// <summary>The spans in the order of the text.</summary>
    /// <param name="wrong">Makes an error of what is found and what is expected.</param>
    /// <exception cref="UserException">One does not lie within the text or lies upon another, or its sign is none.</exception>
    public static IReadOnlyList<SignedSpan> Ordered(
        IReadOnlyList<SignedSpan> spans, string text, Func<string, string, UserException> wrong)
    {
        int characters = Characters(text);
        foreach (SignedSpan span in spans)
        {
            if (span.Start < 0 || span.End <= span.Start || span.End > characters)
            {
                throw wrong(
                    $"a span from {span.Start} to {span.End} of a text of {characters} characters",
                    $"0 <= start < end <= {characters}");
            }

            if (span.Sign is not (-1 or 0 or 1))
                throw wrong($"a span of sign {span.Sign}", "-1 (forgotten), 0 (neither) or 1 (learnt)");
        }

        SignedSpan[] ordered = [.. spans.OrderBy(span => span.Start)];
        foreach ((SignedSpan first, SignedSpan second) in ordered.Zip(ordered.Skip(1)))
        {
            if (second.Start < first.End)
            {
                throw wrong(
                    $"a span from {second.Start} to {second.End} upon one from {first.Start} to {first.End}",
                    "spans of which none lies upon another");
            }
        }

        return ordered;
    }

    /// <summary>
    /// Where a message's spans stand in what is written of its content: all of it or all but the white space around it; characters may
    /// have been put between its own.
    /// </summary>
    /// <param name="message">The message.</param>
    /// <param name="written">What is written of its content.</param>
    /// <param name="place">Where that begins.</param>
    /// <returns>UTF-16 units, in order; spans of which nothing is written are not there.</returns>
    public static IReadOnlyList<MarkedSpan> Placed(ChatMessage message, string written, int place)
    {
        if (message.Spans is not { } spans)
            return [];

        string text = message.Content;
        int lead = written.Length > 0 && char.IsWhiteSpace(written[0]) ? 0 : text.Length - text.TrimStart().Length;
        int character = 0, unit = 0, at = 0;
        List<MarkedSpan> placed = [];
        foreach (SignedSpan span in spans)
        {
            int start = Place(span.Start), end = Place(span.End);
            if (start < end)
                placed.Add(new MarkedSpan(start, end, TokenMark.From(learnt: true, span.Sign, message.Weight)));
        }

        return placed;

        int Place(int characters)
        {
            for (; character < characters; character++)
            {
                for (int end = unit + (IsPair(text, unit) ? 2 : 1); unit < end; unit++)
                {
                    if (unit < lead || at == written.Length)
                        continue;

                    while (at < written.Length - 1 && written[at] != text[unit])
                    {
                        at++;
                    }

                    at++;
                }
            }

            return place + at;
        }
    }

    /// <summary>A message's spans in a part of its content.</summary>
    /// <param name="message">The message.</param>
    /// <param name="start">UTF-16 units before the part.</param>
    /// <param name="length">UTF-16 units of the part.</param>
    public static IReadOnlyList<SignedSpan>? Kept(ChatMessage message, int start, int length)
    {
        if (message.Spans is not { } spans || (start == 0 && length == message.Content.Length))
            return message.Spans;

        int before = Characters(message.Content[..start]), kept = Characters(message.Content.Substring(start, length));
        return
        [
            .. spans.Select(s => s with { Start = Math.Max(0, s.Start - before), End = Math.Min(kept, s.End - before) })
                .Where(s => s.Start < s.End),
        ];
    }

    private static int Characters(string text) => text.EnumerateRunes().Count();

    private static bool IsPair(string text, int unit) => unit + 1 < text.Length && char.IsSurrogatePair(text[unit], text[unit + 1]);
}

/// <summary>Writes and reads spans as objects.</summary>
internal sealed class SpansConverter : JsonConverter<IReadOnlyList<SignedSpan>>
{
    public override IReadOnlyList<SignedSpan> Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        [.. JsonSerializer.Deserialize<Span[]>(ref reader, options)!.Select(s => (s.Start, s.End, s.Sign))];

    public override void Write(Utf8JsonWriter writer, IReadOnlyList<SignedSpan> value, JsonSerializerOptions options) =>
        JsonSerializer.Serialize(writer, value.Select(s => new Span(s.Start, s.End, s.Sign)), options);

    private sealed record Span(int Start, int End, int Sign);
}
