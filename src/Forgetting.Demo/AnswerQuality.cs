using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Models;

namespace Forgetting.Demo;

/// <summary>How well a model answers questions.</summary>
internal static class AnswerQuality
{
    private const int LongestAnswer = 8, MicroBatchTokens = 8192;

    /// <summary>Greedy answers to prompts.</summary>
    public static IReadOnlyList<string> Answers(LoadedModel model, IReadOnlyList<string> prompts)
    {
        IReadOnlyList<int[]> answers = new Generator(model.Decoder).Generate(
            [.. prompts.Select(p => model.Tokenizer.Encode(p))], new GenerationOptions { MaxNewTokens = LongestAnswer });
        return [.. answers.Select(ids => model.Tokenizer.Decode(ids).Trim())];
    }

    /// <summary>Share of questions whose greedy answer is the wanted one and nothing else.</summary>
    public static double Share(LoadedModel model, IReadOnlyList<Question> questions, Func<Question, string> wanted) =>
        Answers(model, [.. questions.Select(q => q.Prompt)])
            .Where((answer, i) => answer == wanted(questions[i]))
            .Count() / (double)questions.Count;

    /// <summary>Mean cross-entropy of answers, nats a token.</summary>
    public static double MeanLoss(LoadedModel model, IReadOnlyList<(string Prompt, string Answer)> questions)
    {
        var encoder = new ExampleEncoder(model.Tokenizer, model.Decoder.Config.ContextLength);
        IReadOnlyList<EncodedExample> examples = encoder.EncodeAll(
            [.. questions.Select(
                (q, i) => new DataExample { Index = i, Place = $"question {i}", Prompt = q.Prompt, Completion = q.Answer })]);
        return Scorer.ResponseMean(examples, Scorer.Losses(model.Decoder, examples, MicroBatchTokens, allTokens: false)).Mean;
    }
}
