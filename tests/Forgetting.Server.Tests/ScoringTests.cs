using System.Net.Http.Json;
using System.Text.Json;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Evaluation;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Server.Tests;

/// <summary>Items scored as lm-evaluation-harness asks a server (local-completions), against the evaluation's own scores.</summary>
public sealed class ScoringTests
{
    private const int Items = 50;

    [SharedDataFact]
    public async Task Scores_through_the_server_are_the_evaluations()
    {
        await using RunningServer server = await RunningServer.Start(engine: new Serving.EngineLimits { PassTokens = 100 });
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(RunningServer.ModelPath, backend);
        LogLikelihoodRequest[] requests =
        [
            .. File.ReadLines(SharedData.Path("boolq", "dev_balanced_2474_with_passage.jsonl")).Take(Items).SelectMany(line =>
            {
                using JsonDocument item = JsonDocument.Parse(line);
                string passage = item.RootElement.GetProperty("passage").GetString()!;
                string question = item.RootElement.GetProperty("question").GetString()!;
                int[] context = model.Tokenizer.Encode($"{passage[..Math.Min(passage.Length, 400)]}\nQuestion: {question}?\nAnswer:");
                return new[] { " no", " yes indeed" }.Select(
                    answer => new LogLikelihoodRequest(context, model.Tokenizer.Encode(answer, bos: false)));
            }),
        ];
        IReadOnlyList<LogLikelihood> expected = new LogLikelihoodScorer(model.Decoder, 4096).Score(requests);

        // As TemplateAPI does: batches of ids, one token more, probabilities of the prompt; several batches at a time.
        (double Sum, bool IsGreedy)[][] found = await Task.WhenAll(requests.Chunk(4).Select(async batch =>
        {
            using HttpResponseMessage response = await server.Client.PostAsJsonAsync("v1/completions", new
            {
                model = RunningServer.Base,
                prompt = batch.Select(r => r.Context.Concat(r.Continuation)),
                temperature = 0,
                max_tokens = 1,
                logprobs = 1,
                seed = 1234,
                echo = true,
            });
            JsonElement answer = await response.Content.ReadFromJsonAsync<JsonElement>();
            return answer.GetProperty("choices").EnumerateArray().OrderBy(choice => choice.GetProperty("index").GetInt32())
                .Zip(batch, (choice, request) => Parse(choice.GetProperty("logprobs"), request.Context.Length)).ToArray();
        }));
        (double Sum, bool IsGreedy)[] all = [.. found.SelectMany(batch => batch)];
        Assert.Equal(2 * Items, all.Length);
        for (int i = 0; i < all.Length; i++)
        {
            Assert.Equal(expected[i].Sum, all[i].Sum, 2e-4);
            Assert.Equal(expected[i].IsGreedy, all[i].IsGreedy);
        }

        // What matters in the end: the same answers are chosen.
        Assert.Equal(
            expected.Chunk(2).Select(pair => pair[0].Sum > pair[1].Sum), all.Chunk(2).Select(pair => pair[0].Sum > pair[1].Sum));
    }

    [SharedDataFact]
    public async Task The_loss_of_a_text_is_the_librarys()
    {
        await using RunningServer server = await RunningServer.Start();
        using LanguageModel model = LanguageModel.Load(RunningServer.ModelPath, "cpu");
        const string Text = "Once upon a time, there was a dog named Spot. Spot liked to run in the park.";
        TokenLoss[] tokens = [.. model.LossOf([new TrainingExample("", Text)]).Examples[0]];
        (_, JsonElement answer) = await server.Post("v1/completions", new
        {
            model = RunningServer.Base,
            prompt = tokens.Select(token => token.Id),
            max_tokens = 0,
            logprobs = 0,
            echo = true,
        });
        JsonElement told = answer.GetProperty("choices")[0];
        Assert.Contains(Text, told.GetProperty("text").GetString(), StringComparison.Ordinal);
        JsonElement probabilities = told.GetProperty("logprobs");
        double[] found = [.. probabilities.GetProperty("token_logprobs").EnumerateArray().Skip(1).Select(p => -p.GetDouble())];
        Assert.Equal(
            tokens.Select(token => token.Text), probabilities.GetProperty("tokens").EnumerateArray().Select(token => token.GetString()));
        Assert.Equal(tokens.Length - 1, found.Length);
        Assert.All(tokens.Skip(1).Zip(found), pair => Assert.Equal(pair.First.Loss, pair.Second, 1e-4));
        Assert.Equal(0, answer.GetProperty("usage").GetProperty("completion_tokens").GetInt32());
    }

    private static (double Sum, bool IsGreedy) Parse(JsonElement probabilities, int context)
    {
        double[] own =
            [.. probabilities.GetProperty("token_logprobs").EnumerateArray().Skip(context).SkipLast(1).Select(p => p.GetDouble())];
        double[] best = [.. probabilities.GetProperty("top_logprobs").EnumerateArray().Skip(context).SkipLast(1)
            .Select(top => top.EnumerateObject().Max(token => token.Value.GetDouble()))];
        return (own.Sum(), own.SequenceEqual(best));
    }
}
