using System.Globalization;
using System.Text;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Tokenizers;

public class UnicodeNormalizationTests
{
    /// <summary>Code points of a text and of its four forms as Python's unicodedata gives them.</summary>
    [Fact]
    public void The_four_forms_are_those_of_Pythons_unicodedata()
    {
        string[] lines = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "Tokenizers", "golden", "normalization.txt"));
        Assert.True(lines.Length > 100);
        NormalizationForm[] forms = [NormalizationForm.FormC, NormalizationForm.FormD, NormalizationForm.FormKC, NormalizationForm.FormKD];
        foreach (string line in lines)
        {
            string[] columns = line.Split('|');
            for (int i = 0; i < forms.Length; i++)
            {
                Assert.Equal(
                    (columns[0], forms[i], columns[i + 1]),
                    (columns[0], forms[i], Hex(UnicodeNormalization.Normalize(Text(columns[0]), forms[i]))));
            }
        }
    }

    private static string Text(string hex) =>
        string.Concat(
            hex.Split(' ').Select(h => char.ConvertFromUtf32(int.Parse(h, NumberStyles.HexNumber, CultureInfo.InvariantCulture))));

    private static string Hex(string text) =>
        string.Join(' ', text.EnumerateRunes().Select(r => r.Value.ToString("X4", CultureInfo.InvariantCulture)));
}
