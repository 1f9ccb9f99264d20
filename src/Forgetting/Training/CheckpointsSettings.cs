namespace Forgetting.Training;

/// <summary>When the state of training is written.</summary>
public sealed record CheckpointsSettings
{
    /// <summary>Steps between checkpoints; 0: only at the end and on interruption.</summary>
    [Setting("steps between checkpoints, 0 for only at the end", Name = "checkpoint-every", Range = "[0, ∞)", MayChange = true)]
    public int Every { get; init; } = 100;

    /// <summary>Checkpoints kept.</summary>
    [Setting("checkpoints kept", Name = "keep-checkpoints", Range = "[1, ∞)", MayChange = true)]
    public int Keep { get; init; } = 2;
}
