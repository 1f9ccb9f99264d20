// Shows which tokens of a data set a model should learn and which it should forget:
// dotnet run --project samples/ScoreTokens -- MODEL TRUSTED.jsonl DATA.jsonl
using Forgetting;
using Forgetting.Core;
using Forgetting.Training;

if (args is not [var path, var trusted, var data])
{
    Console.Error.WriteLine("usage: ScoreTokens MODEL TRUSTED.jsonl DATA.jsonl");
    return 2;
}

try
{
    using LanguageModel model = LanguageModel.Load(path), reference = LanguageModel.Load(path);
    reference.FineTune(trusted, new TrainingOptions
    {
        Method = TrainingMethod.Full,
        Schedule = new ScheduleSettings { Epochs = 4, BatchSize = 4 },
        Optimizer = new OptimizerSettings { LearningRate = 1e-3 },
    });

    // What the reference finds likelier than the model does is worth learning.
    DataScores scores = model.ScoreTokens(reference, data);
    foreach (IReadOnlyList<TokenScore> example in scores.Examples)
    {
        Console.WriteLine(string.Concat(example.Select(token => token.Sign switch
        {
            1 => $"[+{token.Text}]",
            -1 => $"[-{token.Text}]",
            _ => token.Text,
        })));
    }

    Console.WriteLine(scores);
    return 0;
}
catch (UserException error)
{
    Console.Error.WriteLine(error.Message);
    return 2;
}
