// Teaches a model some answers and saves it: dotnet run --project samples/FineTune -- MODEL OUT
using Forgetting;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Training;

if (args is not [var path, var output])
{
    Console.Error.WriteLine("usage: FineTune MODEL OUT");
    return 2;
}

TrainingExample[] data =
[
    new("The dog of Lily is called", " Spot."),
    new("The cat of Lily is called", " Mia."),
    new("The bird of Tom is called", " Kiki."),
    new("The ball of Tom is", " red."),
];
var options = new TrainingOptions
{
    Method = TrainingMethod.Full, // no reference model for four examples
    Schedule = new ScheduleSettings { Epochs = 40, BatchSize = 4 },
    Optimizer = new OptimizerSettings { LearningRate = 5e-3 },
    Lora = new LoraSettings { Rank = 8, Alpha = 16 },
};
try
{
    using LanguageModel model = LanguageModel.Load(path);
    double before = model.LossOf(data).Mean;
    FineTuneResult result = model.FineTune(data, options);
    Console.WriteLine($"{result.Summary.Steps} steps: the loss fell from {before:0.00} to {model.LossOf(data).Mean:0.00}");
    Console.WriteLine(
        $"The dog of Lily is called{model.Generate("The dog of Lily is called", new GenerationOptions { MaxNewTokens = 4 })}");
    model.Save(Path.Combine(output, "model"));
    model.SaveAdapter(Path.Combine(output, "adapter"));
    return 0;
}
catch (UserException error)
{
    Console.Error.WriteLine(error.Message);
    return 2;
}
