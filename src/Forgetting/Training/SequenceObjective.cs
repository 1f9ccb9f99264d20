namespace Forgetting.Training;

/// <summary>An answer's cross-entropy, summed over its tokens, under the model and under the base model; nats.</summary>
/// <param name="Loss">Under the model.</param>
/// <param name="BaseLoss">Under the base model; 0 where the objective does not ask for it.</param>
/// <param name="Tokens">As how many tokens it counts.</param>
internal readonly record struct AnswerLoss(double Loss, double BaseLoss, double Tokens);

/// <summary>
/// Objectives of explicit unlearning that depend on an answer as a whole (<see cref="ForgetObjective"/>). Their gradient is that of the
/// tokens' cross-entropies times a factor
/// that all tokens of an answer share and that a forward pass before gives.
/// </summary>
internal sealed class SequenceObjective(ForgetObjective kind, double beta, double margin)
{
    /// <summary>The objective that the settings ask for; null where it does not depend on whole answers.</summary>
    public static SequenceObjective? From(TrainingOptions options) => options.ForgetsAnswers
        ? new(options.ForgetSet.Objective, options.ForgetSet.ResolveBeta(), options.ForgetSet.ObjectiveMargin)
        : null;

    /// <summary>The term of one answer that must go.</summary>
    /// <param name="answer">The answer.</param>
    /// <param name="refusal">The refusal in its place; read by idkdpo alone.</param>
    /// <returns>Its value, and its derivatives with respect to the losses of answer and refusal.</returns>
    public (double Value, double Answer, double Refusal) Term(AnswerLoss answer, AnswerLoss refusal)
    {
        double scale = kind == ForgetObjective.SimNpo ? 1.0 / answer.Tokens : 1;
        double z = kind switch
        {
            ForgetObjective.SimNpo => margin - (beta * answer.Loss / answer.Tokens),
            ForgetObjective.IdkDpo => beta * (answer.BaseLoss - answer.Loss - (refusal.BaseLoss - refusal.Loss)),
            _ => beta * (answer.BaseLoss - answer.Loss),
        };

        // log(1 + eᶻ) and its derivative, of which neither overflows.
        double value = 2 / beta * (Math.Max(z, 0) + double.LogP1(Math.Exp(-Math.Abs(z))));
        double slope = 2 * scale / (1 + Math.Exp(-z));
        return (value, -slope, kind == ForgetObjective.IdkDpo ? slope : 0);
    }
}
