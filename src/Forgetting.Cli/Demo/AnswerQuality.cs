using Forgetting.Data;
using Forgetting.Evaluation;
using Forgetting.Methods;
using Forgetting.Models;

namespace Forgetting.Cli.Demo;

/// <summary>How well a model answers held-out questions, and how varied it still writes.</summary>
/// <param name="ExactMatch">Share of greedy answers that are the true value and nothing else.</param>
/// <param name="Loss">Mean cross-entropy of the true answers, nats a token.</param>
/// <param name="Distinct1">distinct-1 of texts sampled about the entities.</param>
/// <param name="Distinct2">distinct-2 of the same.</param>
internal sealed record AnswerQuality(double ExactMatch, double Loss, double Distinct1, double Distinct2)
{
    private const int LongestAnswer = 8, SampledTokens = 24, MicroBatchTokens = 8192;

    /// <summary>Measures a model.</summary>
    public static AnswerQuality Measure(LoadedModel model, IReadOnlyList<Question> questions, IReadOnlyList<string> entities)
    {
        int right = Answers(model, [.. questions.Select(q => q.Prompt)]).Where((answer, i) => answer == questions[i].Truth).Count();
        IReadOnlyList<int[]> texts = new Generator(model.Decoder).Generate(
            [.. entities.Select(e => model.Tokenizer.Encode(e))], new GenerationOptions { MaxNewTokens = SampledTokens, Temperature = 1, Seed = 1 });
        string[] written = [.. texts.Select(ids => model.Tokenizer.Decode(ids))];
        double loss = MeanLoss(model, [.. questions.Select(q => (q.Prompt, q.Truth))]);
        return new AnswerQuality((double)right / questions.Count, loss, Diversity.Distinct(written, 1), Diversity.Distinct(written, 2));
    }

    /// <summary>Greedy answers to prompts.</summary>
    public static IReadOnlyList<string> Answers(LoadedModel model, IReadOnlyList<string> prompts)
    {
        IReadOnlyList<int[]> answers = new Generator(model.Decoder).Generate([.. prompts.Select(p => model.Tokenizer.Encode(p))], new GenerationOptions { MaxNewTokens = LongestAnswer });
        return [.. answers.Select(ids => model.Tokenizer.Decode(ids).Trim())];
    }

    /// <summary>Mean cross-entropy of answers, nats a token.</summary>
    public static double MeanLoss(LoadedModel model, IReadOnlyList<(string Prompt, string Answer)> questions)
    {
        var encoder = new ExampleEncoder(model.Tokenizer, model.Decoder.Config.ContextLength);
        IReadOnlyList<EncodedExample> examples = encoder.EncodeAll(
            [.. questions.Select((q, i) => new DataExample { Index = i, Place = $"question {i}", Prompt = q.Prompt, Completion = q.Answer })]);
        return Scorer.ResponseMean(examples, Scorer.Losses(model.Decoder, examples, MicroBatchTokens, allTokens: false)).Mean;
    }
}
