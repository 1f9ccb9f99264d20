using Forgetting.Core;

namespace Forgetting.Methods;

/// <summary>
/// A method of learning and forgetting: the stages it needs before training, and the sign of each token in it. The run executes the stages,
/// passes over what an earlier attempt finished, plans memory by the same list, and trains on the result.
/// </summary>
/// <remarks>
/// An object is of one run and may keep what it reads. What becomes of tokens with a negative sign, <see cref="Training.TrainingOptions"/>
/// say: <c>method: forget</c> forgets them, <c>ignore</c> leaves them out.
/// </remarks>
public interface IMethod
{
    /// <summary>Name in the run's summary.</summary>
    string Name { get; }

    /// <summary>Folder of what the stages leave, in that of the run; empty for the run's own.</summary>
    string Folder => "";

    /// <summary>The stages, in order: each may read what the ones before it left.</summary>
    IReadOnlyList<MethodStage> Stages { get; }

    /// <summary>Says what is learnt and forgotten, when all stages are finished.</summary>
    /// <param name="run">The run's examples and settings, and the folder with what the stages left.</param>
    /// <param name="result">What there is so far: every response token is learnt, unless another method of the run says otherwise.</param>
    /// <exception cref="Core.UserException">What the stages left is not usable.</exception>
    MethodResult Apply(MethodRun run, MethodResult result);

    /// <summary>Looks at everything that the settings name, before the run's folder comes to be.</summary>
    /// <exception cref="Core.UserException">Something is missing or malformed.</exception>
    internal void Check(MethodRun run)
    {
    }

    /// <summary>The result for planning memory: half of the tokens negative, unless the method knows better.</summary>
    internal MethodResult Rehearse(Rehearsal rehearsal, MethodResult result) => rehearsal.HalfNegative(result);
}
