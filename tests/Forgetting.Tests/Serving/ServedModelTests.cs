using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Models;
using Forgetting.Serving;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Serving;

/// <summary>A base and adapters beside it, and texts cut at stop texts.</summary>
public sealed class ServedModelTests : IDisposable
{
    private static readonly GenerationOptions s_options = new() { MaxNewTokens = 30 };

    private readonly CpuBackend _backend = new();

    public void Dispose() => _backend.Dispose();

    [SharedDataFact]
    public async Task Adapters_beside_one_base_write_what_each_writes_alone()
    {
        using var folder = new TemporaryFolder();
        StoriesAdapter.Write(folder["one"], 1);
        StoriesAdapter.Write(folder["two"], 2, head: true);
        string path = SharedData.Path("stories260K", "hf");
        using LoadedModel loaded = LoadedModel.Load(path, _backend);
        using LoadedModel one = loaded.WithAdapter(folder["one"]), two = loaded.WithAdapter(folder["two"]);
        using var engine = new GenerationEngine(new EngineLimits());
        using var pool = new KeyValuePool(loaded.Decoder.Config, _backend, 2048);
        ServedModel[] served = [new(loaded, engine, pool), new(one, engine, pool), new(two, engine, pool)];
        int[] prompt = loaded.Tokenizer.Encode("Once upon a time");
        (ServedModel Model, TokenSequence Sequence)[] asked =
            [.. Enumerable.Range(0, 9).Select(i => (served[i % 3], new TokenSequence(loaded.Decoder.Config, prompt, s_options)))];
        await Task.WhenAll(asked.Select(a => a.Model.Write([a.Sequence], default)));
        string[] adapters = [folder["one"], folder["two"]];
        int[][] expected =
        [
            new Generator(loaded.Decoder).Generate([prompt], s_options)[0],
            .. adapters.Select(adapter =>
            {
                using LoadedModel alone = LoadedModel.Load(path, _backend, adapter: adapter);
                return new Generator(alone.Decoder).Generate([prompt], s_options)[0];
            }),
        ];
        Assert.Equal(3, expected.DistinctBy(ids => string.Join(' ', ids)).Count());
        Assert.Equal(Enumerable.Range(0, 9).Select(i => expected[i % 3]), asked.Select(a => a.Sequence.Drawn));
    }

    [SharedDataFact]
    public void A_base_with_an_adapter_of_its_own_takes_no_other_and_shared_weights_are_not_merged()
    {
        using var folder = new TemporaryFolder();
        StoriesAdapter.Write(folder["one"], 1);
        using LoadedModel loaded = LoadedModel.Load(SharedData.Path("stories260K", "hf"), _backend);
        using LoadedModel adapted = loaded.WithAdapter(folder["one"]);
        Assert.Throws<InvalidOperationException>(() => adapted.WithAdapter(folder["one"]));
        Assert.Throws<InvalidOperationException>(adapted.Decoder.MergeAdapter);
    }

    [SharedDataFact]
    public void Tokens_of_a_stop_text_are_not_told_and_the_others_join_to_the_text()
    {
        using LoadedModel loaded = LoadedModel.Load(SharedData.Path("stories260K", "hf"), _backend);
        using ServedModel served = ServedModel.Alone(loaded);
        int[] prompt = loaded.Tokenizer.Encode("Once upon a time");
        (string whole, _, _) = Write([]);
        string stop = whole[20..23];
        (string text, List<TokenProbability> tokens, AnswerReader reader) = Write([stop, "never there"]);
        Assert.Equal(whole[..whole.IndexOf(stop, StringComparison.Ordinal)], text);
        Assert.True(reader.Stopped);

        // Each token begins where the text of those before it ends, and none begins behind the text.
        Assert.Equal(loaded.Tokenizer.TextsOf([.. tokens.Select(t => t.Id)]).Select(t => t.Length).SkipLast(1).Aggregate(
            new List<int> { 0 }, (starts, length) => [.. starts, starts[^1] + length]), tokens.Select(t => t.Start));
        Assert.All(tokens, token => Assert.InRange(token.Start, 0, text.Length - 1));

        (string, List<TokenProbability>, AnswerReader) Write(string[] stops)
        {
            string text = "";
            List<TokenProbability> tokens = [];
            var decoder = loaded.Tokenizer.StartDecoding();
            prompt.ToList().ForEach(id => decoder.Add(id));
            var reader = new AnswerReader(
                decoder, stops,
                (part, own) =>
                {
                    text += part;
                    tokens.AddRange(own);
                },
                new ProbabilityOptions(2));
            served.Write([new TokenSequence(loaded.Decoder.Config, prompt, s_options, reader: reader)], default).Wait();
            reader.Finish();
            return (text, tokens, reader);
        }
    }
}
