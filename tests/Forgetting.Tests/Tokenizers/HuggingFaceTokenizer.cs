using System.Runtime.InteropServices;
using System.Text;
using Forgetting.Testing;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Tokenizers;

/// <summary>Hugging Face's own library of tokenizers, to compare with. Its package has native code for Linux on x64 only.</summary>
internal static class HuggingFaceTokenizer
{
    public static bool Runs => OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64;

    /// <summary>Checks that a tokenizer gives the ids that the library gives by its file, and reads them as the library does.</summary>
    public static void AssertSame(string tokenizerJson, Tokenizer tokenizer, IEnumerable<string> texts)
    {
        using var library = new global::Tokenizers.DotNet.Tokenizer(tokenizerJson);
        foreach (string text in texts)
        {
            // It refuses half a surrogate pair, which becomes a replacement character everywhere else.
            uint[] expected = library.Encode(Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)));
            int[] ids = tokenizer.Encode(text, allowSpecial: true);
            Assert.Equal((text, string.Join(' ', expected)), (text, string.Join(' ', ids)));
            Assert.Equal(library.Decode(expected), tokenizer.Decode(ids));
        }
    }
}

/// <summary>A theory that needs <see cref="SharedData"/> and <see cref="HuggingFaceTokenizer"/>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class HuggingFaceTheoryAttribute : TheoryAttribute
{
    public HuggingFaceTheoryAttribute() =>
        Skip = SharedData.Folder is null ? "../shared/data is not beside the repository"
            : HuggingFaceTokenizer.Runs ? Skip
            : "the library of tokenizers has no native code for this machine";
}
