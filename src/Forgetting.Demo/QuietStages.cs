using Forgetting.Training;

namespace Forgetting.Demo;

/// <summary>Shows the steps of a run only: the demo names its own stages, and those within a run would scroll past.</summary>
internal sealed class QuietStages(ITrainingObserver inner) : ITrainingObserver
{
    public void StageBegan(string what)
    {
    }

    public void Progressed(long done, long total)
    {
    }

    public void StepDone(StepMetrics metrics, int steps) => inner.StepDone(metrics, steps);

    public void CheckpointWritten(string path)
    {
    }
}
