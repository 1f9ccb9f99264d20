using System.Numerics;

namespace Forgetting.Evaluation;

/// <summary>
/// Python's <c>random.Random(seed)</c>: the Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), seeded by an array.
/// lm-evaluation-harness draws its examples with it.
/// </summary>
internal sealed class PythonRandom
{
    private const int Size = 624, Shift = 397;

    private readonly uint[] _state = new uint[Size];
    private int _next = Size;

    public PythonRandom(ulong seed)
    {
        uint[] key = seed >> 32 == 0 ? [(uint)seed] : [(uint)seed, (uint)(seed >> 32)];
        _state[0] = 19650218;
        for (int k = 1; k < Size; k++)
        {
            _state[k] = (1812433253 * Mixed(k)) + (uint)k;
        }

        int i = 1;
        for (int k = 0; k < Size; k++)
        {
            int j = k % key.Length;
            _state[i] = (_state[i] ^ (Mixed(i) * 1664525)) + key[j] + (uint)j;
            i = Next(i);
        }

        for (int k = 1; k < Size; k++)
        {
            _state[i] = (_state[i] ^ (Mixed(i) * 1566083941)) - (uint)i;
            i = Next(i);
        }

        _state[0] = 0x80000000;

        uint Mixed(int at) => _state[at - 1] ^ (_state[at - 1] >> 30);

        int Next(int at)
        {
            if (at + 1 < Size)
                return at + 1;

            _state[0] = _state[Size - 1];
            return 1;
        }
    }

    /// <summary>
    /// <c>random.sample(range(population), count)</c>: different numbers below <paramref name="population"/>, in the order of drawing.
    /// </summary>
    public int[] Sample(int population, int count)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, population);
        var drawn = new int[count];
        int setSize = 21 + (count > 5 ? (int)Math.Pow(4, Math.Ceiling(Math.Log(count * 3, 4))) : 0);
        if (population <= setSize)
        {
            int[] pool = [.. Enumerable.Range(0, population)];
            for (int i = 0; i < count; i++)
            {
                int j = Below(population - i);
                drawn[i] = pool[j];
                pool[j] = pool[population - i - 1];
            }

            return drawn;
        }

        HashSet<int> taken = [];
        for (int i = 0; i < count;)
        {
            int j = Below(population);
            if (taken.Add(j))
                drawn[i++] = j;
        }

        return drawn;
    }

    private int Below(int limit)
    {
        int bits = 32 - BitOperations.LeadingZeroCount((uint)limit);
        while (true)
        {
            uint number = Word() >> (32 - bits);
            if (number < limit)
                return (int)number;
        }
    }

    private uint Word()
    {
        if (_next == Size)
            Refill();

        uint word = _state[_next++];
        word ^= word >> 11;
        word ^= (word << 7) & 0x9D2C5680;
        word ^= (word << 15) & 0xEFC60000;
        return word ^ (word >> 18);
    }

    private void Refill()
    {
        for (int i = 0; i < Size; i++)
        {
            uint joined = (_state[i] & 0x80000000) | (_state[(i + 1) % Size] & 0x7FFFFFFF);
            _state[i] = _state[(i + Shift) % Size] ^ (joined >> 1) ^ ((joined & 1) * 0x9908B0DF);
        }

        _next = 0;
    }
}
