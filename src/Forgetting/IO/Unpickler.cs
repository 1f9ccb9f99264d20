using System.Buffers.Binary;
using System.Text;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>A global that a pickle names: a function or a class of a Python module.</summary>
/// <param name="Module">Module.</param>
/// <param name="Name">Name in it.</param>
internal sealed record PickledGlobal(string Module, string Name)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Module}.{Name}";
}

/// <summary>A reference to what the pickle does not hold itself.</summary>
/// <param name="Id">What it is known by.</param>
internal sealed record PickledReference(object? Id);

/// <summary>
/// Reads Python's pickle format, protocols 2 to 5 (the opcodes as CPython's <c>pickletools</c> describes them), as far as files of tensors
/// need it. Nothing is ever imported or called: a name is refused where the caller does not know it, and what a pickle would call is given
/// to a function of the caller's. Tuples are arrays, lists <see cref="List{T}"/>, dictionaries <see cref="Dictionary{TKey, TValue}"/> by
/// text.
/// </summary>
/// <param name="place">File for errors.</param>
/// <param name="known">Whether the caller knows a global.</param>
/// <param name="call">Gives what a global makes of its arguments.</param>
internal sealed class Unpickler(string place, Func<PickledGlobal, bool> known, Func<PickledGlobal, object?[], object?> call)
{
    private static readonly object s_mark = new();

    private readonly List<object?> _stack = [];
    private readonly Dictionary<long, object?> _memo = [];
    private int _at;

    /// <summary>Reads the one object of a pickle.</summary>
    /// <exception cref="UserException">Malformed, cut off, or a global or an opcode that tensors do not need.</exception>
    public object? Read(ReadOnlySpan<byte> pickle)
    {
        while (true)
        {
            byte opcode = Take(pickle, 1)[0];
            if (opcode == '.')
                return Pop();

            Execute(opcode, pickle);
        }
    }

    private void Execute(byte opcode, ReadOnlySpan<byte> pickle)
    {
        switch (opcode)
        {
            case 0x80: // PROTO
                if (Take(pickle, 1)[0] is var protocol and (< 2 or > 5))
                    throw Bad($"is of protocol {protocol}, expected 2 to 5");

                break;
            case 0x95: // FRAME: a length, which says nothing that matters
                Take(pickle, 8);
                break;
            case (byte)'(':
                _stack.Add(s_mark);
                break;
            case (byte)'N':
                _stack.Add(null);
                break;
            case 0x88 or 0x89:
                _stack.Add(opcode == 0x88);
                break;
            case (byte)'K':
                _stack.Add((long)Take(pickle, 1)[0]);
                break;
            case (byte)'M':
                _stack.Add((long)BinaryPrimitives.ReadUInt16LittleEndian(Take(pickle, 2)));
                break;
            case (byte)'J':
                _stack.Add((long)BinaryPrimitives.ReadInt32LittleEndian(Take(pickle, 4)));
                break;
            case 0x8a: // LONG1
                _stack.Add(Long(Take(pickle, Take(pickle, 1)[0])));
                break;
            case (byte)'G':
                _stack.Add(BinaryPrimitives.ReadDoubleBigEndian(Take(pickle, 8)));
                break;
            case (byte)'X':
                _stack.Add(Text(pickle, BinaryPrimitives.ReadUInt32LittleEndian(Take(pickle, 4))));
                break;
            case 0x8c: // SHORT_BINUNICODE
                _stack.Add(Text(pickle, Take(pickle, 1)[0]));
                break;
            case (byte)'c':
                AddGlobal(Line(pickle), Line(pickle));
                break;
            case 0x93: // STACK_GLOBAL
                string name = Pop<string>("a name");
                AddGlobal(Pop<string>("a module"), name);
                break;
            case (byte)'q':
                _memo[Take(pickle, 1)[0]] = Top();
                break;
            case (byte)'r':
                _memo[BinaryPrimitives.ReadUInt32LittleEndian(Take(pickle, 4))] = Top();
                break;
            case 0x94: // MEMOIZE
                _memo[_memo.Count] = Top();
                break;
            case (byte)'h':
                Recall(Take(pickle, 1)[0]);
                break;
            case (byte)'j':
                Recall(BinaryPrimitives.ReadUInt32LittleEndian(Take(pickle, 4)));
                break;
            default:
                Build(opcode);
                break;
        }
    }

    // What is made of the objects on the stack.
    private void Build(byte opcode)
    {
        switch (opcode)
        {
            case (byte)')':
                _stack.Add(Array.Empty<object?>());
                break;
            case (byte)']':
                _stack.Add(new List<object?>());
                break;
            case (byte)'}':
                _stack.Add(new Dictionary<string, object?>());
                break;
            case 0x85 or 0x86 or 0x87: // TUPLE1 to TUPLE3
                _stack.Add(PopMany(opcode - 0x84));
                break;
            case (byte)'t':
                _stack.Add(PopToMark());
                break;
            case (byte)'a':
                object? element = Pop();
                Top<List<object?>>("a list").Add(element);
                break;
            case (byte)'e':
                object?[] elements = PopToMark();
                Top<List<object?>>("a list").AddRange(elements);
                break;
            case (byte)'s':
                SetItems(PopMany(2));
                break;
            case (byte)'u':
                SetItems(PopToMark());
                break;
            case (byte)'Q': // BINPERSID
                _stack.Add(new PickledReference(Pop()));
                break;
            case (byte)'R':
                object?[] arguments = Pop<object?[]>("arguments");
                _stack.Add(call(Pop<PickledGlobal>("a global"), arguments));
                break;
            case (byte)'b':
                // The state of an OrderedDict: attributes beside its items, such as PyTorch's _metadata.
                Pop<Dictionary<string, object?>>("attributes");
                Top<Dictionary<string, object?>>("a dictionary, which alone may have attributes");
                break;
            default:
                throw Bad($"has the opcode 0x{opcode:x2} at byte {_at - 1}, which no tensor needs");
        }
    }

    private void AddGlobal(string module, string name)
    {
        var global = new PickledGlobal(module, name);
        _stack.Add(known(global) ? global
            : throw Bad($"asks for {Wording.Quote($"{global}")}, which is not among the few names that tensors need; nothing was run"));
    }

    private void SetItems(object?[] items)
    {
        var dictionary = Top<Dictionary<string, object?>>("a dictionary");
        if (items.Length % 2 != 0)
            throw Bad("has a key without a value");

        for (int i = 0; i < items.Length; i += 2)
        {
            dictionary[items[i] as string ?? throw Bad("has a key that is no text")] = items[i + 1];
        }
    }

    private void Recall(long number) =>
        _stack.Add(_memo.TryGetValue(number, out object? value) ? value : throw Bad($"recalls object {number}, which it has not kept"));

    private object? Top() => _stack.Count > 0 && _stack[^1] != s_mark ? _stack[^1] : throw Bad("takes from an empty stack");

    private object? Pop()
    {
        object? top = Top();
        _stack.RemoveAt(_stack.Count - 1);
        return top;
    }

    private T Pop<T>(string expected) => Pop() is T value ? value : throw Bad($"has something other than {expected} at byte {_at - 1}");

    private T Top<T>(string expected) => Top() is T value ? value : throw Bad($"has something other than {expected} at byte {_at - 1}");

    private object?[] PopMany(int count)
    {
        if (_stack.Count < count)
            throw Bad("takes from an empty stack");

        object?[] objects = [.. _stack[^count..]];
        _stack.RemoveRange(_stack.Count - count, count);
        return objects.Contains(s_mark) ? throw Bad("takes from an empty stack") : objects;
    }

    private object?[] PopToMark()
    {
        int mark = _stack.LastIndexOf(s_mark);
        if (mark < 0)
            throw Bad("takes what is behind a mark that is not there");

        object?[] objects = PopMany(_stack.Count - mark - 1);
        _stack.RemoveAt(mark);
        return objects;
    }

    // Two's complement, little-endian.
    private long Long(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > 8)
            throw Bad($"has a number of {bytes.Length} bytes, expected at most 8: a file from before PyTorch 1.6?");

        long value = bytes.Length > 0 && (bytes[^1] & 0x80) != 0 ? -1 : 0;
        for (int i = bytes.Length - 1; i >= 0; i--)
        {
            value = (value << 8) | bytes[i];
        }

        return value;
    }

    private string Text(ReadOnlySpan<byte> pickle, long bytes) => Encoding.UTF8.GetString(Take(pickle, bytes));

    private string Line(ReadOnlySpan<byte> pickle)
    {
        int length = pickle[_at..].IndexOf((byte)'\n');
        string line = Text(pickle, length < 0 ? long.MaxValue : length);
        _at++;
        return line;
    }

    private ReadOnlySpan<byte> Take(ReadOnlySpan<byte> pickle, long bytes)
    {
        if (bytes > pickle.Length - _at)
            throw Bad("is cut off");

        _at += (int)bytes;
        return pickle.Slice(_at - (int)bytes, (int)bytes);
    }

    private UserException Bad(string what) => new($"{place}: data.pkl {what}");
}
