using System.Globalization;
using System.Text;

namespace Forgetting.Text.ChatTemplates;

/// <summary>
/// What one rendering of a template may cost. A template comes from strangers with the checkpoint and is a program: every operation draws
/// on the one budget of its rendering before it does its work, so that no template runs for long, fills the memory or overflows the stack.
/// Real templates over a hundred messages use a thousandth of it.
/// </summary>
internal sealed class TemplateBudget : IDisposable
{
    /// <summary>
    /// Steps: the evaluation of an expression, two items gone over, 64 bytes copied. Five million take less than a second.
    /// </summary>
    public const long MaxSteps = 5_000_000;

    /// <summary>Bytes of all values made and of all text written, whether or not they are still in use.</summary>
    public const long MaxBytes = 64 << 20;

    /// <summary>Expressions, blocks, calls and values within each other.</summary>
    public const int Deepest = 500;

    // Rendering is synchronous: operations find the budget of their rendering on their thread.
    [ThreadStatic]
    private static TemplateBudget? s_current;

    private readonly TemplateBudget? _outer = s_current;
    private long _steps;
    private long _bytes;
    private int _depth;

    private TemplateBudget()
    {
    }

    /// <summary>Begins a rendering on this thread; it ends with <see cref="Dispose"/>.</summary>
    public static TemplateBudget Begin() => s_current = new TemplateBudget();

    /// <summary>Before work of so many steps.</summary>
    /// <exception cref="TemplateException">There are none left.</exception>
    public static void Spend(long steps)
    {
        if (s_current is { } budget && (budget._steps += steps) > MaxSteps)
        {
            throw new TemplateException(string.Create(
                CultureInfo.InvariantCulture, $"the template takes more than {MaxSteps} steps; expected one that ends sooner"));
        }
    }

    /// <summary>Before values or text of so many bytes.</summary>
    /// <exception cref="TemplateException">There are none left.</exception>
    public static void Allocate(long bytes)
    {
        if (s_current is { } budget && (bytes > MaxBytes || (budget._bytes += bytes) > MaxBytes))
        {
            throw new TemplateException(string.Create(
                CultureInfo.InvariantCulture, $"the template makes more than {MaxBytes >> 20} MiB of text and values; expected less"));
        }

        Spend(bytes / 64);
    }

    /// <summary>Before text of so many characters.</summary>
    public static void Write(long characters) => Allocate(characters > MaxBytes ? characters : 2 * characters);

    /// <summary>Before a list of so many items, or going over one.</summary>
    public static void List(long items)
    {
        Spend(items / 4);
        Allocate(16 * items);
    }

    /// <summary>Before a search for a text in another: in the worst case each character is compared with each.</summary>
    public static void Search(long length, long part) => Spend((length / 16) + (length * part / 1024));

    /// <summary>Into an expression, a block, a call or a value within another.</summary>
    /// <exception cref="TemplateException">That is too deep.</exception>
    public static void Enter()
    {
        Spend(1);
        if (s_current is { } budget && ++budget._depth > Deepest)
        {
            throw new TemplateException(
                string.Create(CultureInfo.InvariantCulture, $"expressions, blocks, calls or values nested more than {Deepest} deep"));
        }
    }

    /// <summary>Out again. After an exception nothing needs it: the rendering is over.</summary>
    public static void Leave()
    {
        if (s_current is { } budget)
            budget._depth--;
    }

    /// <inheritdoc/>
    public void Dispose() => s_current = _outer;
}

/// <summary>Text that grows within the budget of its rendering.</summary>
internal sealed class TemplateText
{
    private readonly StringBuilder _text = new();

    /// <summary>UTF-16 units.</summary>
    public int Length => _text.Length;

    /// <summary>Adds a text.</summary>
    public TemplateText Append(string text) => Append(text.AsSpan());

    /// <summary>Adds a text.</summary>
    public TemplateText Append(ReadOnlySpan<char> text)
    {
        TemplateBudget.Write(text.Length);
        _text.Append(text);
        return this;
    }

    /// <summary>Adds a text in which some characters are written otherwise.</summary>
    /// <param name="text">The text.</param>
    /// <param name="escape">How a character is written, or null for as it is.</param>
    public TemplateText Append(string text, Func<char, string?> escape)
    {
        int done = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (escape(text[i]) is { } written)
            {
                Append(text.AsSpan(done, i - done)).Append(written);
                done = i + 1;
            }
        }

        return Append(text.AsSpan(done));
    }

    /// <summary>Adds texts with others between them.</summary>
    public TemplateText Join(string separator, IEnumerable<object?> values)
    {
        bool first = true;
        foreach (object? value in values)
        {
            Append(first ? "" : separator).Append(TemplateValues.Text(value));
            first = false;
        }

        return this;
    }

    /// <inheritdoc/>
    public override string ToString() => _text.ToString();
}
