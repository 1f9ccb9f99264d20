using System.Text;

namespace Forgetting.Text.Tokenizers;

/// <summary>
/// GPT-2's printable alphabet: each byte as one character, so that a vocabulary of byte strings can be written as text. Printable Latin-1
/// bytes stand for themselves; the others are numbered from U+0100 in byte order.
/// </summary>
internal static class ByteLevelAlphabet
{
    private static readonly char[] s_toCharacter = new char[256];
    private static readonly short[] s_toByte = new short[512];

    static ByteLevelAlphabet()
    {
        Array.Fill(s_toByte, (short)-1);
        int moved = 0;
        for (int value = 0; value < 256; value++)
        {
            bool printable = value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE;
            char character = (char)(printable ? value : 256 + moved++);
            s_toCharacter[value] = character;
            s_toByte[character] = (short)value;
        }
    }

    /// <summary>The character of a byte.</summary>
    public static char CharacterOf(byte value) => s_toCharacter[value];

    /// <summary>The UTF-8 bytes of a text, each as its character.</summary>
    public static string Write(ReadOnlySpan<byte> bytes)
    {
        StringBuilder text = new(bytes.Length);
        foreach (byte value in bytes)
        {
            text.Append(s_toCharacter[value]);
        }

        return text.ToString();
    }

    /// <summary>The bytes a token stands for. A token with any other character (an added token) stands for its own UTF-8.</summary>
    public static byte[] Read(string token)
    {
        byte[] bytes = new byte[token.Length];
        for (int i = 0; i < token.Length; i++)
        {
            int value = token[i] < s_toByte.Length ? s_toByte[token[i]] : -1;
            if (value < 0)
                return Encoding.UTF8.GetBytes(token);

            bytes[i] = (byte)value;
        }

        return bytes;
    }
}
