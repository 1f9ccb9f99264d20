using Forgetting.Core;

namespace Forgetting.Training;

/// <summary>A setting that was given by itself, outside a recipe.</summary>
/// <param name="Setting">The setting.</param>
/// <param name="Values">Its value, or the values of a list.</param>
/// <param name="Named">What errors call it: the option's name.</param>
internal sealed record GivenSetting(Setting Setting, IReadOnlyList<string> Values, string Named)
{
    /// <summary>Options with this setting.</summary>
    /// <exception cref="UserException">See <see cref="Setting.Apply"/>.</exception>
    public TrainingOptions Apply(TrainingOptions options) => Setting.Apply(options, Values, Named);
}
