using System.Security.Cryptography;
using System.Text;

namespace Forgetting.Runs;

/// <summary>How many different texts there are among many: 8 bytes a text.</summary>
internal sealed class DistinctHashes
{
    private readonly List<ulong> _hashes = [];

    /// <summary>Texts so far.</summary>
    public int Count => _hashes.Count;

    /// <summary>Adds a text.</summary>
    public void Add(string text) => _hashes.Add(BitConverter.ToUInt64(SHA256.HashData(Encoding.UTF8.GetBytes(text))));

    /// <summary>The different ones.</summary>
    public int Distinct()
    {
        _hashes.Sort();
        int distinct = 0;
        for (int i = 0; i < _hashes.Count; i++)
        {
            distinct += i == 0 || _hashes[i] != _hashes[i - 1] ? 1 : 0;
        }

        return distinct;
    }
}
