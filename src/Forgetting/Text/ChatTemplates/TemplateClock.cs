using System.Globalization;
using System.Text;

namespace Forgetting.Text.ChatTemplates;

/// <summary>Python's <c>strftime</c> for the directives templates use.</summary>
internal static class TemplateClock
{
    /// <summary>A time in a format.</summary>
    public static string Format(DateTime time, string format)
    {
        StringBuilder text = new();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                text.Append(format[i]);
                continue;
            }

            // %-d is %d without its leading zero.
            bool bare = format[i + 1] == '-' && i + 2 < format.Length;
            i += bare ? 2 : 1;
            string part = Part(time, format[i]);
            text.Append(bare && part.Length > 1 ? part.TrimStart('0') : part);
        }

        return text.ToString();
    }

    private static string Part(DateTime time, char directive)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        return directive switch
        {
            'Y' => time.ToString("yyyy", culture),
            'y' => time.ToString("yy", culture),
            'm' => time.ToString("MM", culture),
            'd' => time.ToString("dd", culture),
            'H' => time.ToString("HH", culture),
            'I' => time.ToString("hh", culture),
            'M' => time.ToString("mm", culture),
            'S' => time.ToString("ss", culture),
            'p' => time.ToString("tt", culture),
            'A' => time.ToString("dddd", culture),
            'a' => time.ToString("ddd", culture),
            'B' => time.ToString("MMMM", culture),
            'b' => time.ToString("MMM", culture),
            'j' => time.DayOfYear.ToString("000", culture),
            'F' => time.ToString("yyyy-MM-dd", culture),
            'T' => time.ToString("HH:mm:ss", culture),
            '%' => "%",
            _ => throw new TemplateException($"strftime_now does not know %{directive}"),
        };
    }
}
