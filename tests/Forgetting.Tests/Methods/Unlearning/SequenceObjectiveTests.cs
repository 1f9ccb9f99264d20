using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Operations.Reference;
using Forgetting.Testing.Reference;
using Forgetting.Tests.Models;
using Forgetting.Tests.Training;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods.Unlearning;

/// <summary>Objectives of explicit unlearning: values by their definitions, gradients by finite differences in double precision.</summary>
public class SequenceObjectiveTests
{
    private const int SteeredBlock = 1;

    public static TheoryData<ForgetObjective, AscentKind, bool, string> Objectives => new()
    {
        { ForgetObjective.Npo, AscentKind.Ascent, false, "llama" },
        { ForgetObjective.SimNpo, AscentKind.Ascent, false, "llama" },
        { ForgetObjective.IdkDpo, AscentKind.Ascent, false, "llama" },
        { ForgetObjective.Token, AscentKind.Ascent, false, "llama" },
        { ForgetObjective.Token, AscentKind.Unlikelihood, false, "llama" },
        { ForgetObjective.Token, AscentKind.Entropy, false, "llama" },
        { ForgetObjective.Npo, AscentKind.Ascent, true, "llama" },
        { ForgetObjective.IdkDpo, AscentKind.Ascent, true, "gpt2" },
        { ForgetObjective.Token, AscentKind.Ascent, true, "qwen2" },
        { ForgetObjective.Rmu, AscentKind.Ascent, false, "llama" },
        { ForgetObjective.Rmu, AscentKind.Ascent, false, "gpt_neo" },
    };

    // −(2/β) log σ(…) by its definition, at values where nothing overflows.
    [Theory]
    [InlineData(ForgetObjective.Npo)]
    [InlineData(ForgetObjective.SimNpo)]
    [InlineData(ForgetObjective.IdkDpo)]
    public void Terms_are_as_defined_and_their_derivatives_as_measured(ForgetObjective kind)
    {
        (double beta, double margin) = (0.7, kind == ForgetObjective.SimNpo ? 0.3 : 0);
        var objective = new SequenceObjective(kind, beta, margin);
        AnswerLoss answer = new(5.5, 4, 6), refusal = new(7, 7.5, 4);
        double z = kind switch
        {
            ForgetObjective.Npo => -beta * (-answer.Loss + answer.BaseLoss), // −β log(π/π₀)
            ForgetObjective.SimNpo => (-beta / answer.Tokens * -answer.Loss) - margin, // −(β/|y|) log π − γ
            _ => beta * ((-refusal.Loss + refusal.BaseLoss) - (-answer.Loss + answer.BaseLoss)),
        };
        (double value, double ofAnswer, double ofRefusal) = objective.Term(answer, refusal);
        Assert.Equal(-2 / beta * Math.Log(1 / (1 + Math.Exp(-z))), value, 1e-12);
        Assert.Equal(Slope(h => objective.Term(answer with { Loss = answer.Loss + h }, refusal).Value), ofAnswer, 1e-8);
        Assert.Equal(Slope(h => objective.Term(answer, refusal with { Loss = refusal.Loss + h }).Value), ofRefusal, 1e-8);

        static double Slope(Func<double, double> f) => (f(1e-5) - f(-1e-5)) / 2e-5;
    }

    [Fact]
    public void Npo_begins_as_ascent_ends_in_nothing_and_never_overflows()
    {
        var npo = new SequenceObjective(ForgetObjective.Npo, 0.1, 0);
        Assert.Equal(-1, npo.Term(new(30, 30, 10), default).Answer);
        Assert.Equal((0, 0), (npo.Term(new(1e5, 30, 10), default).Value, npo.Term(new(1e5, 30, 10), default).Answer));
        Assert.Equal((2e5, -2), (npo.Term(new(0, 1e5, 10), default).Value, npo.Term(new(0, 1e5, 10), default).Answer));
    }

    [Theory]
    [MemberData(nameof(Objectives))]
    public void Gradient_of_a_step_agrees_with_finite_differences_in_double_precision(
        ForgetObjective kind, AscentKind ascent, bool kl, string name)
    {
        using TestModel model = new(ReferenceConfigs.All[name]), known = new(ReferenceConfigs.All[name], seed: 2);
        TrainingSet set = Set(model.Decoder.Config.VocabularySize, kind);
        TrainingOptions options = Options(kind, ascent) with { Compute = new() { MicroBatchTokens = 20 } };
        options = options with { ForgetSet = options.ForgetSet with { RetainKl = kl } };
        Misdirection.Restrict(model.Decoder, options);
        var order = DataOrder.From(set, options);
        int[] chosen = [.. order.At(1)];
        using var step = new TrainingStep(model.Decoder, options, baseModel: known.Decoder);
        step.Begin(set, chosen, 0);
        StepLosses losses = step.Accumulate(1);
        Assert.Equal(Value(), losses.Objective, ascent == AscentKind.Ascent ? 1e-5 : double.MaxValue);

        // What is said of tokens is their cross-entropy, whatever is minimised.
        int[] learnt = [.. chosen.Where(place => set.Signs[place].Contains((sbyte)1))];
        Assert.Equal(learnt.Sum(Loss) / learnt.Sum(Tokens), losses.PositiveLoss!.Value, 1e-5);
        var random = new Random(11);
        float[][] gradients = model.Gradients();
        Assert.Equal(kind == ForgetObjective.Rmu ? SteeredBlock + 1 : model.Decoder.BaseParameters.Count, gradients.Length);
        for (int p = 0; p < gradients.Length; p++)
        {
            float largest = gradients[p].Max(Math.Abs);
            foreach (int element in (int[])[Array.FindIndex(gradients[p], g => Math.Abs(g) == largest), random.Next(gradients[p].Length)])
            {
                (double[] values, int index) = model.Place(model.Decoder.TrainableParameters[p], element);
                double expected = Differences.Derivative(Value, values, index);
                Assert.True(
                    Math.Abs(expected - gradients[p][element]) <= (5e-5 * largest) + 1e-6,
                    $"{model.Decoder.TrainableParameters[p]} [{element}]: expected {expected}, found {gradients[p][element]}");
            }
        }

        // The definitions, with the double-precision model.
        double Value()
        {
            double forget = 0, retain = 0;
            int[] forgotten = [.. chosen.Where(c => c < set.Parts!.Forget)], retained = [.. chosen.Where(set.Parts!.IsRetained)];
            Assert.Equal(forgotten.Length, retained.Length);
            int forgetTokens = forgotten.Sum(Tokens), retainTokens = retained.Sum(Tokens);
            foreach (int place in forgotten)
            {
                double log = -Loss(place) + Base(place);
                forget += kind switch
                {
                    ForgetObjective.Npo => LogSigmoid(-0.4 * log) * -2 / 0.4 / forgotten.Length,
                    ForgetObjective.SimNpo => LogSigmoid((0.4 * Loss(place) / Tokens(place)) - 0.2) * -2 / 0.4 / forgotten.Length,
                    ForgetObjective.IdkDpo => LogSigmoid(0.4 * (OfRefusal(place) - log)) * -2 / 0.4 / forgotten.Length,
                    ForgetObjective.Rmu => Distances(place).Sum() / forgetTokens,
                    _ => Tokenwise(place) / forgetTokens,
                };
            }

            foreach (int place in retained)
            {
                retain += (kind == ForgetObjective.Rmu ? Distances(place).Sum()
                    : kl ? Divergence(place) : Loss(place)) / retainTokens;
            }

            return forget + (0.5 * retain);
        }

        int Tokens(int place) => set.Signs[place].Count(s => s != 0);
        double OfRefusal(int place) => -Loss(set.Parts!.RefusalOf(place)) + Base(set.Parts.RefusalOf(place));
        double LogSigmoid(double x) => Math.Log(1 / (1 + Math.Exp(-x)));
        double Loss(int place) => PerToken(place).Sum();
        double Base(int place) => -set.BaseLogProbabilities![place].Where((_, t) => set.Signs[place][t] != 0).Sum(x => (double)x);
        IEnumerable<double> PerToken(int place) => Logits(place).Select(l => ReferenceLoss.CrossEntropy(l.Row, l.Target));
        double Tokenwise(int place) => Logits(place).Sum(l => ReferenceLoss.Objective(l.Row, l.Target, -1, Ascent.From(ascent), 0));

        double Divergence(int place) =>
            Logits(place).Zip(Logits(place, known), (own, kept) => ReferenceLoss.KlDivergence(own.Row, kept.Row)).Sum();

        // ‖h − c·u‖² / C of what must go, ‖h − h₀‖² / C of what must stay, for each token.
        IEnumerable<double> Distances(int place)
        {
            double[][] own = Outputs(model, place), kept = Outputs(known, place);
            double[] steered = Array.ConvertAll(Misdirection.Target(own[0].Length, 3, options.Seed), x => (double)x);
            Assert.Equal(3, Math.Sqrt(steered.Sum(x => x * x)), 1e-6);
            return Heads(place).Select(t => own[t - 1].Zip(
                set.Parts!.IsRetained(place) ? kept[t - 1] : steered, (h, aim) => (h - aim) * (h - aim)).Average());
        }

        double[][] Outputs(TestModel of, int place)
        {
            double[][] found = [];
            of.Reference.Hidden(set.Examples[place].Ids, (number, x) => number == SteeredBlock + 1 ? found = x : x);
            return found;
        }

        IEnumerable<(double[] Row, int Target)> Logits(int place, TestModel? of = null)
        {
            double[][] logits = (of ?? model).Reference.Logits(set.Examples[place].Ids);
            return Heads(place).Select(t => (logits[t - 1], set.Examples[place].Ids[t]));
        }

        IEnumerable<int> Heads(int place) => Enumerable.Range(1, set.Examples[place].Length - 1).Where(t => set.Signs[place][t] != 0);
    }

    [Theory]
    [InlineData(ForgetObjective.Npo, 0)]
    [InlineData(ForgetObjective.IdkDpo, 4)]
    [InlineData(ForgetObjective.Npo, 4, true)]
    [InlineData(ForgetObjective.Rmu, 4)]
    [InlineData(ForgetObjective.Rmu, 0)]
    public void The_gradient_does_not_depend_on_micro_batches(
        ForgetObjective kind, int rank, bool kl = false)
    {
        TrainingOptions options = Options(kind, AscentKind.Ascent) with { Lora = new() { Rank = rank, Dropout = rank > 0 ? 0.25 : 0 } };
        options = options with { ForgetSet = options.ForgetSet with { RetainKl = kl } };
        using var known = new TinyRun(TinyRun.Full);
        (float[] Gradient, StepLosses Losses)[] found = [.. new[] { 1000, 17, 1 }.Select(tokens =>
        {
            using var run = new TinyRun(options with { Compute = new() { MicroBatchTokens = tokens } });
            Misdirection.Restrict(run.Decoder, options);
            using var step = new TrainingStep(run.Decoder, run.Options, baseModel: known.Decoder);
            step.Begin(Set(40, kind), [.. DataOrder.From(Set(40, kind), options).At(0)], 2);
            StepLosses losses = step.Accumulate(1);
            return (run.Gradients(), losses);
        })];
        Assert.All(found, f =>
        {
            Assert.Equal(found[0].Losses.Objective, f.Losses.Objective, 1e-5);
            Assert.True(Distance(f.Gradient, found[0].Gradient) < 1e-5 * Distance(found[0].Gradient, new float[f.Gradient.Length]));
        });

        static double Distance(float[] a, float[] b) => Math.Sqrt(a.Zip(b, (x, y) => Math.Pow((double)x - y, 2)).Sum());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_step_has_as_many_to_retain_of_which_none_comes_twice_before_all_have_come(bool shuffle)
    {
        var parts = new SetParts(7, 5, Refusals: true);
        var order = new DataOrder(7, 3, 9, shuffle, parts: parts);
        Assert.Equal((3, 9), (order.StepsPerEpoch, order.MaxAtOnce));
        int[][] steps = [.. Enumerable.Range(0, 15).Select(k => order.At(k).ToArray())]; // five epochs
        Assert.Equal(steps[4], new DataOrder(7, 3, 9, shuffle, parts: parts).At(4).ToArray());
        Assert.All(steps, step =>
        {
            int n = step.Length / 3;
            Assert.All(step[..n], p => Assert.InRange(p, 0, 6));
            Assert.All(step[n..(2 * n)], p => Assert.InRange(p, 7, 11));
            Assert.Equal(step[..n].Select(p => p + 12), step[(2 * n)..]);
        });
        Assert.All(steps.Chunk(3), epoch => Assert.Equal(Enumerable.Range(0, 7), epoch.SelectMany(s => s[..(s.Length / 3)]).Order()));
        IEnumerable<int> retained = steps.SelectMany(s => s[(s.Length / 3)..(2 * s.Length / 3)]);
        Assert.All(retained.Chunk(5), pass => Assert.Equal(Enumerable.Range(7, 5), pass.Order()));
    }

    private static TrainingOptions Options(ForgetObjective kind, AscentKind ascent) => new()
    {
        Method = TrainingMethod.Unlearn,
        Lora = new() { Rank = 0 },
        Schedule = new() { BatchSize = 2 },
        TokenForgetting = new() { Ascent = kind == ForgetObjective.Token ? ascent : null },
        ForgetSet = new()
        {
            ForgetData = "forget", RetainData = "retain", Objective = kind, RetainWeight = 0.5,
            ObjectiveBeta = kind is ForgetObjective.Token or ForgetObjective.Rmu ? null : 0.4,
            SteeringBlock = kind == ForgetObjective.Rmu ? SteeredBlock : null, SteeringNorm = kind == ForgetObjective.Rmu ? 3 : 6.5,
            ObjectiveMargin = kind == ForgetObjective.SimNpo ? 0.2 : 0,
        },
    };

    // Four to forget, three to retain, and the refusals.
    private static TrainingSet Set(int vocabulary, ForgetObjective kind)
    {
        var random = new Random(5);
        bool refusals = kind == ForgetObjective.IdkDpo;
        EncodedExample[] examples = [.. Enumerable.Range(0, refusals ? 11 : 7).Select(i =>
        {
            int length = random.Next(5, 11);
            bool[] response = [.. Enumerable.Range(0, length).Select(t => t > 1)];
            return new EncodedExample { Index = i, Ids = [.. response.Select(_ => random.Next(vocabulary))], Response = response };
        })];
        return new TrainingSet
        {
            Examples = examples,
            Signs = [.. examples.Select((e, i) => Array.ConvertAll(e.Response, r => (sbyte)(!r ? 0 : i < 4 ? -1 : 1)))],
            BaseLogProbabilities =
                [.. examples.Select(e => Array.ConvertAll(e.Response, r => r ? (float)(-3.2 - random.NextDouble()) : 0))],
            Parts = new SetParts(4, 3, refusals),
        };
    }
}
