namespace Forgetting.Training;

/// <content>Which values settings may have, and which exclude each other.</content>
public sealed partial record TrainingOptions
{
    /// <summary>Checks every number against its range, the settings that exclude each other, and that the run uses all that differ from their defaults.</summary>
    /// <exception cref="UserException">Names the first setting that is wrong, its value and what was expected.</exception>
    public void Validate()
    {
        ValidateValues();
        if (Method == TrainingMethod.Lwf && !Unlearns)
            throw new UserException("method is lwf, expected forget (files of prompts) or elicited (samples made before) with it");

        foreach (Setting setting in Recipe.Settings.Where(s => s.IsSet(this)))
        {
            setting.CheckUsed(this, setting.Name);
        }
    }

    /// <summary>These settings with those at their defaults of which a run makes no use.</summary>
    internal TrainingOptions WithoutUnused() =>
        Recipe.Settings.Aggregate(this, (options, setting) => setting.IsSet(options) && setting.WhyUnused(options) != null ? setting.Reset(options) : options);

    /// <summary>Checks every number against its range, and the settings that exclude each other; some may be of no use to the method.</summary>
    /// <exception cref="UserException">Names the first setting that is wrong, its value and what was expected.</exception>
    internal void ValidateValues()
    {
        Check("epochs", Epochs, Epochs >= 1, "a whole number of at least 1");
        Check("steps", Steps, Steps is null or >= 1, "a whole number of at least 1");
        Check("batch-size", BatchSize, BatchSize >= 1, "a whole number of at least 1");
        Check("micro-batch-tokens", MicroBatchTokens, MicroBatchTokens >= 1, "a whole number of at least 1");
        Check("max-length", MaxLength, MaxLength >= 2, "a whole number of at least 2");
        Check("learning-rate", LearningRate, LearningRate > 0 && double.IsFinite(LearningRate), "a number above 0");
        Check("warmup-ratio", WarmupRatio, WarmupRatio is >= 0 and <= 1, "a number in [0, 1]");
        Check("adam-beta1", AdamBeta1, AdamBeta1 is >= 0 and < 1, "a number in [0, 1)");
        Check("adam-beta2", AdamBeta2, AdamBeta2 is >= 0 and < 1, "a number in [0, 1)");
        Check("adam-epsilon", AdamEpsilon, AdamEpsilon > 0 && double.IsFinite(AdamEpsilon), "a number above 0");
        Check("weight-decay", WeightDecay, WeightDecay >= 0 && double.IsFinite(WeightDecay), "a number of at least 0");
        Check("clip", Clip, Clip >= 0 && double.IsFinite(Clip), "a number of at least 0");
        Check("lora-rank", LoraRank, LoraRank >= 0, "a whole number of at least 0");
        Check("lora-alpha", LoraAlpha, LoraAlpha > 0 && double.IsFinite(LoraAlpha), "a number above 0");
        Check("lora-dropout", LoraDropout, LoraDropout is >= 0 and < 1, "a number in [0, 1)");
        Check("rho", Rho, Rho is null || Rho.Value.IsAuto || Rho.Value.Value is > 0 and <= 1, "a number in (0, 1] or auto");
        Check("ignore-rho", IgnoreRho, IgnoreRho is >= 0 and < 1 && IgnoreRho + (Rho is { IsAuto: false } given ? given.Value : 0) <= 1, "a number of at least 0 that is at most 1 together with rho");
        Check("learn-above", LearnAbove, LearnAbove is not double.NaN, "a number");
        Check("forget-below", ForgetBelow, ForgetBelow is null || ForgetBelow <= (LearnAbove ?? double.PositiveInfinity), "a number not above learn-above");
        Check("lambda-min", LambdaMin, LambdaMin >= 0 && double.IsFinite(LambdaMin), "a number of at least 0");
        Check("lambda-max", LambdaMax, LambdaMax >= LambdaMin && double.IsFinite(LambdaMax), "a number not below lambda-min");
        Check("lambda-fraction", LambdaFraction, LambdaFraction > 0 && double.IsFinite(LambdaFraction), "a number above 0");
        Check("lambda-every", LambdaEvery, LambdaEvery >= 1, "a whole number of at least 1");
        Check("ascent-beta", AscentBeta, AscentBeta is null or (>= 0 and < double.PositiveInfinity), "a number of at least 0");
        Check("ascent-beta2", AscentBeta2, AscentBeta2 is null or (>= 0 and < double.PositiveInfinity), "a number of at least 0");
        Check("gce-q", GceQ, GceQ is >= 0 and <= 1, "a number in [0, 1]");
        Check("reference-fraction", ReferenceFraction, ReferenceFraction is null or (> 0 and < 1), "a number in (0, 1)");
        Check("parts-every", PartsEvery, PartsEvery >= 0, "a whole number of at least 0");
        Check("checkpoint-every", CheckpointEvery, CheckpointEvery >= 0, "a whole number of at least 0");
        Check("keep-checkpoints", KeepCheckpoints, KeepCheckpoints >= 1, "a whole number of at least 1");
        Check("template", Template, Template.Length > 0, "auto, tulu, plain, chat or a file with a chat template");
        CheckForgetting();
        CheckEvaluation();
        CheckExclusive();
    }

    private void CheckForgetting()
    {
        Check("max-new-tokens", MaxNewTokens, MaxNewTokens >= 1, "a whole number of at least 1");
        Check("fisher-examples", FisherExamples, FisherExamples is null or >= 1, "a whole number of at least 1");
        Check("alpha", Alpha, Alpha is null or (> 0 and < double.PositiveInfinity), "a number above 0");
        Check("forget-fraction", ForgetFraction, ForgetFraction is > 0 and <= 1, "a number in (0, 1]");
        Check("forget-threshold", ForgetThreshold, ForgetThreshold is not double.NaN, "a number");
        Check("interval", Interval, Interval >= 1, "a whole number of at least 1");
        Check("forget-weight", ForgetWeight, ForgetWeight > 0 && double.IsFinite(ForgetWeight), "a number above 0");
        Check("forget-clip", ForgetClip, ForgetClip >= 0 && double.IsFinite(ForgetClip), "a number of at least 0");
        Check("forget-batch-size", ForgetBatchSize, ForgetBatchSize is null or >= 1, "a whole number of at least 1");
        Check("regularizer-weight", RegularizerWeight, RegularizerWeight >= 0 && double.IsFinite(RegularizerWeight), "a number of at least 0");
        Check("regularizer-count", RegularizerCount, RegularizerCount >= 1, "a whole number of at least 1");
        if (ForgetThreshold != null && ForgetFraction != new TrainingOptions().ForgetFraction)
            throw new UserException("forget-fraction and forget-threshold are both given, expected one of them");

        if (Forget.Count > 0 && Elicited != null)
            throw new UserException("forget and elicited are both given, expected one source of self-generated samples");
    }

    private void CheckEvaluation()
    {
        Check("eval-every", EvalEvery, EvalEvery >= 0, "a whole number of at least 0");
        Check("eval-limit", EvalLimit, EvalLimit is null or > 0, "a number of items, or a fraction below 1");
        Check("eval-num-fewshot", EvalNumFewshot, EvalNumFewshot is null or >= 0, "a whole number of at least 0");
        if (EvalTasks.Count > 0 && EvalDataDir is null)
            throw new UserException("eval-tasks is given without eval-data-dir, expected the folder with the benchmarks' files");
    }

    private void CheckExclusive()
    {
        if (LearnAbove is null != ForgetBelow is null)
            throw new UserException($"{(LearnAbove is null ? "forget-below" : "learn-above")} is given alone, expected learn-above and forget-below together");

        if (LearnAbove != null && (Rho != null || IgnoreRho > 0))
            throw new UserException($"learn-above and {(Rho != null ? "rho" : "ignore-rho")} are both given, expected one way to divide the tokens");

        if (LearnReference && (Reference != null || Scores != null))
            throw new UserException($"learn-reference is given with {(Reference != null ? "reference" : "scores")}, expected reference-data or reference-fraction, whose examples it learns too");

        string[] sources =
        [
            .. Reference is null ? Array.Empty<string>() : ["reference"],
            .. ReferenceData is null ? Array.Empty<string>() : ["reference-data"],
            .. Scores is null ? Array.Empty<string>() : ["scores"],
        ];
        if (sources.Length > 1)
            throw new UserException($"{sources[0]} and {sources[1]} are both given, expected one source of influence");

        // Of a continued adapter the model itself may be the reference.
        if (Reference != null && Adapter is null && Model.Length > 0 && SamePath(Reference, Model))
            throw new UserException($"reference is {Reference}, the model itself, under which no token has any influence; expected the model after training on trusted examples");

        if (ReferenceFraction != null && sources.Length > 0)
            throw new UserException($"reference-fraction and {sources[0]} are both given, expected one source of influence");

        if (Lambda != LambdaKind.Linear && Compat == Compatibility.Paper)
            throw new UserException($"lambda is {Recipe.Text(Lambda)} with compat paper, expected linear: the paper's program has no other");
    }

    private static bool SamePath(string a, string b) =>
        Path.TrimEndingDirectorySeparator(Path.GetFullPath(a)) == Path.TrimEndingDirectorySeparator(Path.GetFullPath(b));

    private static void Check<T>(string name, T value, bool holds, string expected)
    {
        if (!holds)
            throw new UserException($"{name} is {Recipe.Text(value)}, expected {expected}");
    }
}
