using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Serving;
using Forgetting.Testing.Reference;
using Forgetting.Tests.Models;
using Xunit;

namespace Forgetting.Tests.Serving;

/// <summary>What an engine writes for many at once, against what <see cref="Generator"/> writes for each alone.</summary>
public sealed class GenerationEngineTests
{
    private static readonly GenerationOptions s_endless = new() { MaxNewTokens = 12, StopIds = [] };

    [Theory]
    [MemberData(nameof(TestModel.Names), MemberType = typeof(TestModel))]
    public async Task A_sequence_is_what_it_is_alone_whoever_joins_and_leaves(string name)
    {
        using var model = new TestModel(ReferenceConfigs.All[name]);
        using var pool = new KeyValuePool(model.Decoder.Config, model.Backend, 70);
        using var engine = new GenerationEngine(new EngineLimits { Sequences = 5, PassTokens = 4 });
        var served = new EngineModel(model.Decoder, pool);
        var random = new Random(3);
        int vocabulary = model.Decoder.Config.VocabularySize;
        (int[] Prompt, GenerationOptions Options, int Key)[] asked =
        [
            .. Enumerable.Range(0, 40).Select(i => (
                Enumerable.Range(0, random.Next(1, 18)).Select(_ => random.Next(0, vocabulary)).ToArray(),
                s_endless with
                {
                    MaxNewTokens = random.Next(1, 14), Temperature = random.Next(0, 3) * 0.7, TopK = random.Next(0, 2) * 5, TopP = 0.9,
                    RepetitionPenalty = random.Next(0, 4) == 0 ? 1.3 : 1, Seed = (ulong)random.Next(),
                    StopIds = [random.Next(0, vocabulary)],
                },
                random.Next(0, 3))),
        ];

        // Some come while others are being written.
        List<(TokenSequence Sequence, Task<SequenceEnd[]> Task)> written = [];
        foreach ((int[] prompt, GenerationOptions options, int key) in asked)
        {
            var sequence = new TokenSequence(model.Decoder.Config, prompt, options, key);
            written.Add((sequence, engine.Write(served, [sequence], default)));
            if (random.Next(0, 3) == 0)
                await written[random.Next(0, written.Count)].Task;
        }

        await Task.WhenAll(written.Select(w => w.Task));
        Assert.Equal((0, 0), engine.Load);
        Assert.Equal(0, pool.BusyRows);
        for (int i = 0; i < asked.Length; i++)
        {
            (int[] prompt, GenerationOptions options, int key) = asked[i];
            int[] alone = new Generator(model.Decoder).Generate([prompt], options, keys: [key])[0];
            Assert.Equal(alone, written[i].Sequence.Drawn);
            bool full = alone.Length == options.MaxNewTokens || prompt.Length + alone.Length == model.Decoder.Config.ContextLength;
            Assert.Equal(full ? SequenceEnd.Length : SequenceEnd.StopId, (await written[i].Task)[0]);
        }
    }

    [Theory]
    [MemberData(nameof(TestModel.Names), MemberType = typeof(TestModel))]
    public async Task What_an_earlier_text_left_is_not_read_again_and_changes_no_token(string name)
    {
        using var model = new TestModel(ReferenceConfigs.All[name]);
        using var pool = new KeyValuePool(model.Decoder.Config, model.Backend, 64);
        using var engine = new GenerationEngine(new EngineLimits());
        var served = new EngineModel(model.Decoder, pool);
        GenerationOptions options = s_endless with { MaxNewTokens = 4, Temperature = 1, Seed = 3 };

        // Longer texts cannot use what shorter ones left, where they turn otherwise.
        bool limited = model.Decoder.Config.TurnsOtherwiseFrom < model.Decoder.Config.ContextLength;
        int[] first = await Write([3, 4, 5], reused: 0);
        int[] second = await Write([3, 4, 5, .. first, 7, 8], reused: 3 + first.Length - 1);
        await Write([3, 4, 5, .. first, 7, 8, .. second, 1, 2, 3, 4, 5, 6], reused: 5 + first.Length + second.Length - 1);
        await Write([3, 4, 6, 7], reused: 2);
        await Write([3, 4, 6, 7], reused: 3);
        await Write([9], reused: 0);

        // Several answers to one prompt read it once.
        int[] same = [10, 4, 6, 7, 1];
        TokenSequence[] choices =
            [.. Enumerable.Range(0, 3).Select(key => new TokenSequence(model.Decoder.Config, same, options, key))];
        await engine.Write(served, choices, default);
        if (!limited)
            Assert.Equal([0, 4, 4], choices.Select(choice => choice.Reused));

        Assert.Equal(
            Enumerable.Range(0, 3).Select(key => new Generator(model.Decoder).Generate([same], options, keys: [key])[0]),
            choices.Select(choice => choice.Drawn));

        async Task<int[]> Write(int[] prompt, int reused)
        {
            var sequence = new TokenSequence(model.Decoder.Config, prompt, options);
            await engine.Write(served, [sequence], default);
            Assert.True(limited ? sequence.Reused <= reused : sequence.Reused == reused);
            Assert.Equal(new Generator(model.Decoder).Generate([prompt], options)[0], sequence.Drawn);
            return sequence.Drawn;
        }
    }

    [Fact]
    public async Task Who_goes_away_frees_rows_and_turn_at_once()
    {
        using var model = new TestModel(ReferenceConfigs.All["llama"]);
        using var pool = new KeyValuePool(model.Decoder.Config, model.Backend, 32);
        using var engine = new GenerationEngine(new EngineLimits { Sequences = 1, Waiting = 1 });
        var served = new EngineModel(model.Decoder, pool);
        using var began = new ManualResetEventSlim();
        using var gone = new ManualResetEventSlim();
        using var first = new CancellationTokenSource();
        using var second = new CancellationTokenSource();

        // The first is held in its second token, and the second waits behind it.
        int seen = 0;
        var reader = new Reader((_, _) =>
        {
            if (++seen == 2)
            {
                began.Set();
                gone.Wait();
            }

            return true;
        });
        Task<SequenceEnd[]> held = engine.Write(served, [Sequence(reader)], first.Token);
        began.Wait();
        Task<SequenceEnd[]> waiting = engine.Write(served, [Sequence()], second.Token);
        Assert.Equal((1, 1), engine.Load);
        Assert.Contains("1 sequences are waiting", (await Assert.ThrowsAsync<EngineBusyException>(
            () => engine.Write(served, [Sequence()], default))).Message, StringComparison.Ordinal);

        await second.CancelAsync();
        await first.CancelAsync();
        gone.Set();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => held);
        Assert.Equal((0, 0), engine.Load);
        Assert.Equal(0, pool.BusyRows);
        Assert.Equal(2, seen);

        // A reader that fails ends its sequence, and the engine goes on.
        await Assert.ThrowsAsync<InvalidDataException>(
            () => engine.Write(served, [Sequence(new Reader((_, _) => throw new InvalidDataException()))], default));
        TokenSequence next = Sequence();
        Assert.Equal([SequenceEnd.Length], await engine.Write(served, [next], default));
        Assert.Equal(new Generator(model.Decoder).Generate([[1, 2]], s_endless)[0], next.Drawn);

        TokenSequence Sequence(ITokenReader? reader = null) => new(model.Decoder.Config, [1, 2], s_endless, reader: reader);
    }

    [Fact]
    public async Task Closing_ends_all_and_takes_nothing_new()
    {
        using var model = new TestModel(ReferenceConfigs.All["llama"]);
        using var pool = new KeyValuePool(model.Decoder.Config, model.Backend, 64);
        var engine = new GenerationEngine(new EngineLimits { Sequences = 1 });
        var served = new EngineModel(model.Decoder, pool);
        using var began = new ManualResetEventSlim();
        var endless = new Reader((_, _) =>
        {
            began.Set();
            Thread.Sleep(1);
            return true;
        });
        Task<SequenceEnd[]>[] tasks = [.. Enumerable.Range(0, 3).Select(_ => engine.Write(
            served, [new TokenSequence(model.Decoder.Config, [1], s_endless with { MaxNewTokens = 30 }, reader: endless)], default))];
        began.Wait();
        engine.Dispose();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => tasks[2]);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => engine.Write(served, [new TokenSequence(model.Decoder.Config, [1], s_endless)], default));
    }

    [Fact]
    public async Task What_does_not_fit_the_rows_is_refused_and_a_prompt_may_be_read_alone()
    {
        using var model = new TestModel(ReferenceConfigs.All["llama"]);
        using var pool = new KeyValuePool(model.Decoder.Config, model.Backend, 8);
        using var engine = new GenerationEngine(new EngineLimits());
        var served = new EngineModel(model.Decoder, pool);
        Assert.Contains("13 tokens, expected at most 8", (await Assert.ThrowsAsync<UserException>(() => engine.Write(
            served, [new TokenSequence(model.Decoder.Config, [1], s_endless)], default))).Message, StringComparison.Ordinal);
        var read = new TokenSequence(model.Decoder.Config, [1, 2, 3], s_endless, readOnly: true);
        Assert.Equal([SequenceEnd.Length], await engine.Write(served, [read], default));
        Assert.Empty(read.Drawn);
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("gpt2")]
    public async Task Probabilities_of_prompt_and_answer_are_the_references(string name)
    {
        using var model = new TestModel(ReferenceConfigs.All[name]);
        using var pool = new KeyValuePool(model.Decoder.Config, model.Backend, 64);
        using var engine = new GenerationEngine(new EngineLimits { PassTokens = 3 });
        int[] prompt = [4, 9, 2, 17, 5, 5, 1];
        List<TokenProbability> found = [];
        var reader = new Reader(
            (id, logits) =>
            {
                found.Add(TokenProbability.Of(id, logits, 3, 0));
                return true;
            },
            (position, logits) => found.Add(TokenProbability.Of(prompt[position + 1], logits, 3, 0)));
        var sequence = new TokenSequence(
            model.Decoder.Config, prompt, s_endless with { Temperature = 1, RepetitionPenalty = 1.2, MaxNewTokens = 5 }, reader: reader);

        // A text that begins alike must not hide what its tokens' probabilities are.
        var other = new TokenSequence(model.Decoder.Config, prompt, s_endless);
        var served = new EngineModel(model.Decoder, pool);
        await engine.Write(served, [other], default);
        await engine.Write(served, [sequence], default);
        Assert.Equal(sequence.Tokens.Skip(1), found.Select(token => token.Id));
        double[][] logits = model.Reference.Logits([.. sequence.Tokens]);
        for (int t = 0; t < found.Count; t++)
        {
            double normalizer = Math.Log(logits[t].Sum(Math.Exp));
            Assert.Equal(logits[t][found[t].Id] - normalizer, found[t].LogProbability, 1e-4);
            int[] best = [.. logits[t].Index().OrderByDescending(logit => logit.Item).Take(3).Select(logit => logit.Index)];
            Assert.Equal(best, found[t].Likeliest.Select(token => token.Id));
            Assert.All(found[t].Likeliest, token => Assert.Equal(logits[t][token.Id] - normalizer, token.LogProbability, 1e-4));
        }
    }

    [Theory]
    [MemberData(nameof(TestModel.Names), MemberType = typeof(TestModel))]
    public async Task Company_changes_no_bit_of_the_logits(string name)
    {
        using var model = new TestModel(ReferenceConfigs.All[name]);
        var limits = new EngineLimits { Sequences = 6, PassTokens = 5 };
        var random = new Random(4);
        int vocabulary = model.Decoder.Config.VocabularySize;
        int[] lengths = [.. Enumerable.Range(0, 12).Select(_ => random.Next(1, 18))];
        int[][] prompts = [.. lengths.Select(length => Enumerable.Range(0, length).Select(_ => random.Next(vocabulary)).ToArray())];
        using var engine = new GenerationEngine(limits);
        using var pool = new KeyValuePool(model.Decoder.Config, model.Backend, 128);
        var served = new EngineModel(model.Decoder, pool);
        double[][] alone = [.. prompts.Select(prompt => Write(prompt).GetAwaiter().GetResult())];
        Assert.Equal(alone, await Task.WhenAll(prompts.Select(Write)));

        async Task<double[]> Write(int[] prompt)
        {
            List<double> found = [];
            var reader = new Reader(
                (id, logits) =>
                {
                    found.Add(TokenProbability.Of(id, logits, 0, 0).LogProbability);
                    return true;
                },
                (position, logits) => found.Add(TokenProbability.Of(prompt[position + 1], logits, 0, 0).LogProbability));
            await engine.Write(served, [new TokenSequence(model.Decoder.Config, prompt, s_endless, reader: reader)], default);
            return [.. found];
        }
    }

    private delegate bool OnToken(int id, ReadOnlySpan<float> logits);

    private delegate void OnPrompt(int position, ReadOnlySpan<float> logits);

    private sealed class Reader(OnToken onToken, OnPrompt? onPrompt = null) : ITokenReader
    {
        public bool WantsLogits => onPrompt is not null;

        public bool WantsPrompt => onPrompt is not null;

        public bool Read(int id, ReadOnlySpan<float> logits) => onToken(id, logits);

        public void ReadPrompt(int position, ReadOnlySpan<float> logits) => onPrompt!(position, logits);
    }
}
