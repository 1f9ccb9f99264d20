// Follows a fine-tuning step by step and ends it early: dotnet run --project samples/CustomObserver -- MODEL DATA.jsonl OUT
using Forgetting;
using Forgetting.Core;
using Forgetting.Training;

if (args is not [var path, var data, var output])
{
    Console.Error.WriteLine("usage: CustomObserver MODEL DATA.jsonl OUT");
    return 2;
}

var options = new TrainingOptions
{
    Method = TrainingMethod.Full, Out = output, Schedule = new ScheduleSettings { Epochs = 8, BatchSize = 4 },
    Optimizer = new OptimizerSettings { LearningRate = 1e-3 },
};
try
{
    using LanguageModel model = LanguageModel.Load(path);
    using var enough = new CancellationTokenSource();
    try
    {
        model.FineTune(data, options, new EarlyStop(enough, atLoss: 2.0), cancellation: enough.Token);
    }
    catch (OperationCanceledException)
    {
        Console.WriteLine($"ended early; {output} holds a checkpoint, from which resume: true goes on");
    }

    return 0;
}
catch (UserException error)
{
    Console.Error.WriteLine(error.Message);
    return 2;
}

/// <summary>Prints the loss of every step, and asks for the end where it is low enough.</summary>
internal sealed class EarlyStop(CancellationTokenSource enough, double atLoss) : ITrainingObserver
{
    public void StageBegan(string what) => Console.WriteLine(what);

    public void StepDone(StepMetrics metrics, int steps)
    {
        Console.WriteLine($"step {metrics.Step} of {steps}: loss {metrics.PositiveLoss:0.000}");
        if (metrics.PositiveLoss < atLoss)
            enough.Cancel();
    }
}
