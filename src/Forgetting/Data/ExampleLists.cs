using System.Collections;
using Forgetting.Core;

namespace Forgetting.Data;

/// <summary>What some example of a list may have.</summary>
[Flags]
internal enum ExampleTraits
{
    /// <summary>Nothing of the following.</summary>
    None = 0,

    /// <summary>Signs that the data gives.</summary>
    Signs = 1,

    /// <summary>A file of several.</summary>
    Source = 2,

    /// <summary>A rejected answer.</summary>
    Rejected = 4,

    /// <summary>A conversation.</summary>
    Conversation = 8,
}

/// <summary>Examples that are not in memory: each access makes one, so that passes over all are worth avoiding.</summary>
internal interface ILazyExamples : IReadOnlyList<EncodedExample>
{
    /// <summary>What some of them may have.</summary>
    ExampleTraits Traits { get; }

    /// <summary>Tokens of one.</summary>
    int LengthAt(int index);
}

/// <summary>Lists of examples, in memory or not.</summary>
internal static class ExampleLists
{
    /// <summary>Tokens up to which examples stay in memory, where they take 5 bytes each and some more.</summary>
    public const long MaxTokens = 16_000_000;

    /// <summary>A list of examples; of many in a file.</summary>
    /// <param name="folder">Folder for the file, which may not be there yet.</param>
    /// <param name="most">Tokens from which they go there.</param>
    /// <exception cref="Core.UserException">The file cannot be written.</exception>
    public static IReadOnlyList<EncodedExample> Collect(IEnumerable<EncodedExample> examples, string folder, long most = MaxTokens)
    {
        List<EncodedExample> list = [];
        ExampleFile? file = null;
        long tokens = 0;
        try
        {
            foreach (EncodedExample example in examples)
            {
                tokens += example.Length;
                if (tokens > most && file is null)
                {
                    file = new ExampleFile(Existing(folder));
                    list.ForEach(file.Add);
                    list = [];
                }

                if (file is null)
                    list.Add(example);
                else
                    file.Add(example);
            }

            file?.Flush();
        }
        catch
        {
            file?.Dispose();
            throw;
        }

        return file is null ? list : file;
    }

    /// <summary>What an example has.</summary>
    public static ExampleTraits TraitsOf(EncodedExample example) =>
        (example.Given is null ? 0 : ExampleTraits.Signs) | (example.Source is null ? 0 : ExampleTraits.Source)
        | (example.Rejected ? ExampleTraits.Rejected : 0) | (example.Conversation ? ExampleTraits.Conversation : 0);

    /// <summary>Whether some example has a trait.</summary>
    public static bool Any(IReadOnlyList<EncodedExample> examples, ExampleTraits trait) =>
        (examples is not ILazyExamples lazy || (lazy.Traits & trait) != 0) && examples.Any(e => (TraitsOf(e) & trait) != 0);

    /// <summary>Tokens of an example.</summary>
    public static int LengthAt(IReadOnlyList<EncodedExample> examples, int index) =>
        examples is ILazyExamples lazy ? lazy.LengthAt(index) : examples[index].Length;

    /// <summary>Tokens of some examples behind each other.</summary>
    public static long Tokens(IReadOnlyList<EncodedExample> examples, int first, int count)
    {
        long tokens = 0;
        for (int i = first; i < first + count; i++)
        {
            tokens += LengthAt(examples, i);
        }

        return tokens;
    }

    /// <summary>Some of the examples.</summary>
    /// <param name="places">Which, in order.</param>
    public static IReadOnlyList<EncodedExample> At(IReadOnlyList<EncodedExample> examples, int[] places) =>
        examples is ILazyExamples lazy ? new View(lazy, places, example => example) : Array.ConvertAll(places, i => examples[i]);

    /// <summary>Those examples, changed, of which the change leaves something; their lengths stay.</summary>
    public static IReadOnlyList<EncodedExample> Changed(
        IReadOnlyList<EncodedExample> examples, Func<EncodedExample, EncodedExample?> change)
    {
        if (examples is not ILazyExamples lazy)
            return [.. examples.Select(change).OfType<EncodedExample>()];

        int[] left = [.. examples.Select(change).Index().Where(e => e.Item != null).Select(e => e.Index)];
        return new View(lazy, left, example => change(example)!);
    }

    /// <summary>Examples behind others.</summary>
    public static IReadOnlyList<EncodedExample> Joined(IReadOnlyList<EncodedExample> first, IReadOnlyList<EncodedExample> second) =>
        second.Count == 0 ? first : [.. first, .. second];

    /// <summary>Something of each example; made anew at each access where the examples are.</summary>
    public static IReadOnlyList<T> Map<T>(IReadOnlyList<EncodedExample> examples, Func<EncodedExample, T> map) =>
        examples is ILazyExamples ? new Mapped<T>(examples, map) : [.. examples.Select(map)];

    private static string Existing(string folder)
    {
        string existing = folder.Length == 0 ? Path.GetTempPath() : Path.GetFullPath(folder);
        while (!Directory.Exists(existing))
        {
            existing = Path.GetDirectoryName(existing)!;
        }

        return existing;
    }

    private sealed class View(ILazyExamples examples, int[] places, Func<EncodedExample, EncodedExample> change) : ILazyExamples
    {
        public int Count => places.Length;

        public ExampleTraits Traits => examples.Traits;

        public EncodedExample this[int index] => change(examples[places[index]]);

        public int LengthAt(int index) => examples.LengthAt(places[index]);

        public IEnumerator<EncodedExample> GetEnumerator() => places.Select(place => change(examples[place])).GetEnumerator();

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
    }

    private sealed class Mapped<T>(IReadOnlyList<EncodedExample> examples, Func<EncodedExample, T> map) : IReadOnlyList<T>
    {
        public int Count => examples.Count;

        public T this[int index] => map(examples[index]);

        public IEnumerator<T> GetEnumerator() => examples.Select(map).GetEnumerator();

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
    }
}
