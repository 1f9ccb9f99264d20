using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Evaluation;
using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Distributed;

/// <summary>What several ranks compute example by example is what one computes.</summary>
public sealed class SharedWorkTests : IDisposable
{
    private static readonly string[] s_prompts =
        ["Once upon a time", "Lily and Tom", "The big dog was", "One day", "In the park there", "A cat", "Mom said"];

    private readonly TemporaryFolder _folder = new();

    private static string ModelPath => SharedData.Path("stories260K", "hf");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Pieces_are_done_once_and_their_results_come_in_order(int ranks)
    {
        int[] pieces = [.. Enumerable.Range(0, 10)];
        int done = 0;
        (int Piece, double Result)[][] all = ThreadRanks.Run(ranks, communicator =>
        {
            List<(int, double)> taken = [];
            SharedWork.Run(communicator, pieces, piece =>
            {
                Interlocked.Increment(ref done);
                return piece == 3 ? double.NaN : Math.Sqrt(piece) / 3;
            }, (piece, result) => taken.Add((piece, result)), default);
            return taken.ToArray();
        });
        Assert.Equal(10, done);
        Assert.All(all, taken => Assert.Equal(pieces.Select(p => (p, p == 3 ? double.NaN : Math.Sqrt(p) / 3)), taken));
    }

    [Fact]
    public void A_request_to_stop_on_one_rank_stops_all_after_the_same_pieces()
    {
        int[] taken = ThreadRanks.Run(3, communicator =>
        {
            using var source = new CancellationTokenSource();
            int count = 0;
            Assert.Throws<OperationCanceledException>(() => SharedWork.Run(communicator, Enumerable.Range(0, 100), piece =>
            {
                if (piece == 31)
                    source.Cancel();

                return piece;
            }, (_, _) => count++, source.Token));
            return count;
        });
        Assert.Equal([33, 33, 33], taken); // rounds of three; the request came in the one of 30 to 32
    }

    [SharedDataTheory]
    [InlineData(2)]
    [InlineData(4)]
    public void Losses_are_those_of_one_process(int ranks)
    {
        float[][] Losses(ICommunicator communicator, int tokens)
        {
            using var backend = new CpuBackend(1);
            using LoadedModel model = LoadedModel.Load(ModelPath, backend);
            return [.. Scorer.Losses(model.Decoder, Examples(model, 11), tokens, allTokens: true, ranks: communicator)];
        }

        // So many batches that they are the same, and so few that they are cut.
        float[][] expected = Losses(SingleProcess.Instance, 120);
        Assert.All(ThreadRanks.Run(ranks, communicator => Losses(communicator, 120)), found => Assert.Equal(expected, found));
        foreach (float[][] found in ThreadRanks.Run(ranks, communicator => Losses(communicator, 100_000)))
        {
            Assert.All(expected.Zip(found), e => Assert.All(e.First.Zip(e.Second), t => Assert.Equal(t.First, t.Second, 1e-4f)));
        }
    }

    [SharedDataTheory]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    public void Self_knowledge_is_the_same_file_also_where_other_ranks_began_it(int ranks, int others)
    {
        void Elicit(ICommunicator communicator, string file, CancellationToken cancellation, ITrainingObserver? observer)
        {
            using var backend = new CpuBackend(1);
            using LoadedModel model = LoadedModel.Load(ModelPath, backend);
            PromptTask[] tasks = [new("stories", [.. s_prompts.Select(Prompt)])];
            Elicitation.Run(
                model, tasks, new ElicitationOptions { MaxNewTokens = 24, BatchTokens = 64 }, _folder[file],
                communicator.IsFirst() ? observer : null, communicator, cancellation);
        }

        Elicit(SingleProcess.Instance, "one.jsonl", default, null);
        ThreadRanks.Run(ranks, communicator =>
        {
            using var source = new CancellationTokenSource();
            var stops = new StopsAfter(60, source);
            Assert.Throws<OperationCanceledException>(() => Elicit(communicator, "many.jsonl", source.Token, stops));
            return 0;
        });
        Assert.False(File.Exists(_folder["many.jsonl"]));
        Assert.True(new FileInfo(_folder["many.jsonl.partial"]).Length > 200);
        ThreadRanks.Run(others, communicator =>
        {
            Elicit(communicator, "many.jsonl", default, null);
            return 0;
        });
        Assert.Equal(File.ReadAllText(_folder["one.jsonl"]), File.ReadAllText(_folder["many.jsonl"]));
    }

    [SharedDataTheory]
    [InlineData(2, FisherKind.Empirical)]
    [InlineData(4, FisherKind.True)]
    public void Fisher_information_is_the_sum_over_ranks_and_confidences_follow(int ranks, FisherKind kind)
    {
        (float[][] Fisher, ConfidenceRecord[] Confidence) Compute(ICommunicator communicator)
        {
            using var backend = new CpuBackend(1);
            using LoadedModel model = LoadedModel.Load(ModelPath, backend, training: true);
            EncodedExample[] examples = Examples(model, 9);
            FisherInformation.Compute(model.Decoder, examples, kind, maxTokens: 100, seed: 3, ranks: communicator);
            float[][] fisher = [.. model.Decoder.TrainableParameters.Select(p =>
            {
                var values = new float[p.Shape.Count];
                backend.Download(p.Gradient, values.AsSpan());
                return values;
            })];
            using var confidence = new ForgettingConfidence(model.Decoder, projections =>
            {
                foreach (Projection projection in projections.Values)
                {
                    backend.Fill(projection.A, 0.01f);
                    backend.Fill(projection.B, 2);
                }
            });
            return (fisher, [.. confidence.Compute(examples, alpha: 0.1, maxTokens: 100, ranks: communicator)]);
        }

        (float[][] expected, ConfidenceRecord[] records) = Compute(SingleProcess.Instance);
        foreach ((float[][] fisher, ConfidenceRecord[] confidence) in ThreadRanks.Run(ranks, Compute))
        {
            Assert.Equal(records, confidence);
            Assert.All(expected.Zip(fisher), p =>
            {
                float most = p.First.Max();
                Assert.All(p.First.Zip(p.Second), v => Assert.Equal(v.First, v.Second, most * 1e-5f));
            });
        }
    }

    [SharedDataTheory]
    [InlineData(2)]
    [InlineData(4)]
    public void Answers_to_tasks_are_those_of_one_process(int ranks)
    {
        (LogLikelihood[] Scored, string[] Texts) Answer(ICommunicator communicator)
        {
            using var backend = new CpuBackend(1);
            using LoadedModel model = LoadedModel.Load(ModelPath, backend);
            int[][] ids = [.. s_prompts.Select(p => model.Tokenizer.Encode(p))];
            LogLikelihoodRequest[] requests =
                [.. ids.SelectMany(p => new LogLikelihoodRequest[] { new(p, [300, 301, 302]), new(p, [305]), new(p, [300, 7]) })];
            IReadOnlyList<LogLikelihood> scored = new LogLikelihoodScorer(model.Decoder, 20, communicator).Score(requests);
            IReadOnlyList<string> texts = new TextCompleter(model.Decoder, model.Tokenizer, 60, communicator).Complete(
                ids, ["."], new GenerationOptions { MaxNewTokens = 20, StopIds = model.EndIds, Temperature = 0.7, Seed = 5 });
            return ([.. scored], [.. texts]);
        }

        (LogLikelihood[] scored, string[] texts) = Answer(SingleProcess.Instance);
        Assert.All(texts, text => Assert.NotEmpty(text));
        foreach ((LogLikelihood[] Scored, string[] Texts) found in ThreadRanks.Run(ranks, Answer))
        {
            Assert.Equal(scored, found.Scored);
            Assert.Equal(texts, found.Texts);
        }
    }

    private static DataExample Prompt(string text, int index) =>
        new() { Index = index, Place = "p", Prompt = text, Completion = "" };

    private static EncodedExample[] Examples(LoadedModel model, int count)
    {
        var encoder = new ExampleEncoder(model.Tokenizer, 512);
        return
        [
            .. Enumerable.Range(0, count).Select(i => encoder.Encode(
                Prompt(s_prompts[i % s_prompts.Length], i) with
                {
                    Completion = string.Concat(Enumerable.Repeat("there was a dog ", 1 + (i % 4))),
                })),
        ];
    }

    private sealed class StopsAfter(long tokens, CancellationTokenSource source) : ITrainingObserver
    {
        public void Progressed(long done, long total)
        {
            if (done >= tokens)
                source.Cancel();
        }

        public void StageBegan(string what)
        {
        }

        public void StepDone(StepMetrics metrics, int steps)
        {
        }

        public void CheckpointWritten(string path)
        {
        }
    }
}
