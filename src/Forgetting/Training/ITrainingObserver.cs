namespace Forgetting.Training;

/// <summary>Follows a run, to show its progress. Calls come from the thread that trains; every method may do nothing.</summary>
public interface ITrainingObserver
{
    /// <summary>A stage of the run begins, such as training the reference or scoring.</summary>
    /// <param name="what">One sentence without a full stop.</param>
    void StageBegan(string what)
    {
    }

    /// <summary>Something that the user should know of, and that does not stop the run.</summary>
    /// <param name="what">One sentence without a full stop.</param>
    void Noticed(string what)
    {
    }

    /// <summary>Part of a stage that has no steps is done.</summary>
    /// <param name="done">Tokens done.</param>
    /// <param name="total">All tokens of the stage.</param>
    void Progressed(long done, long total)
    {
    }

    /// <summary>An optimiser step is done.</summary>
    /// <param name="steps">All steps of the training.</param>
    void StepDone(StepMetrics metrics, int steps)
    {
    }

    /// <summary>A checkpoint is on disk.</summary>
    void CheckpointWritten(string path)
    {
    }
}
