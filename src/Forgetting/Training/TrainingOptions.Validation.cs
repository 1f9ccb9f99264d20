using Forgetting.Core;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <content>Which values settings may have, and which exclude each other.</content>
public sealed partial record TrainingOptions
{
    /// <summary>
    /// Checks every number against its range, the settings that exclude each other, and that the run uses
    /// all that differ from their defaults.
    /// </summary>
    /// <exception cref="UserException">Names the first setting that is wrong, its value and what was expected.</exception>
    public void Validate()
    {
        ValidateValues();
        foreach (string name in new[] { "data", "valid-data", "reference-data", "forget-prompts", "forget-data", "retain-data" })
        {
            if (Recipe.Find(name)!.Paths(this).Contains(IO.UnpackedFile.StandardInput))
            {
                throw new UserException(
                    $"{name} is -, standard input, which a run could not read again to go on or be repeated; expected a file");
            }
        }

        if (Method.Missing(this) is { } missing)
            throw new UserException($"method is {Method}, expected {missing} with it");

        foreach (Setting setting in Recipe.Settings.Where(s => s.IsSet(this)))
        {
            setting.CheckUsed(this, setting.Name);
        }
    }

    /// <summary>Refuses what so many processes of a run cannot do.</summary>
    /// <exception cref="UserException">One is to divide what it trains.</exception>
    internal void CheckRanks(int ranks)
    {
        if (ranks == 1 && Compute.DividesState)
        {
            throw new UserException(
                $"shard is {Compute.Shard} with one process, which has nothing to divide; expected --ranks of at least 2, or shard none");
        }

        if (ranks > 1 && (Optimizer.NoMasters || Optimizer.GradientType != DType.Float32))
        {
            throw new UserException(
                $"{(Optimizer.NoMasters ? "no-masters is given" : $"gradient-dtype is {Optimizer.GradientDtype}")} with {ranks} processes, "
                + "which add up gradients in fp32; expected one process, or shard gradients instead");
        }
    }

    /// <summary>These settings with those at their defaults of which a run makes no use.</summary>
    internal TrainingOptions WithoutUnused() =>
        Recipe.Settings.Aggregate(
            this, (options, setting) => setting.IsSet(options) && setting.WhyUnused(options) != null ? setting.Reset(options) : options);

    /// <summary>
    /// Checks every number against its range, and the settings that exclude each other; some may be of no use to the method.
    /// </summary>
    /// <exception cref="UserException">Names the first setting that is wrong, its value and what was expected.</exception>
    internal void ValidateValues()
    {
        foreach (Setting setting in Recipe.Settings)
        {
            setting.CheckRange(this);
        }

        Check("shard", Compute.Shard, Compute.Shard is "none" or "optimizer" or "gradients", "none, optimizer or gradients");
        Check("optimizer", Optimizer.Kind, Optimizer.Kind == "adamw" || Optimizer.In8Bits, "adamw or adamw8bit");
        Check(
            "gradient-dtype", Optimizer.GradientDtype, Optimizer.GradientDtype is "fp32" or "bf16", "fp32 or bf16");
        _ = Lora.BaseType;
        TokenForgettingSettings forgetting = TokenForgetting;
        double share = forgetting.Rho is { IsAuto: false } given ? given.Value : 0;
        Check("rho", forgetting.Rho, forgetting.Rho is null or { IsAuto: true } || share is > 0 and <= 1, "a number in (0, 1] or auto");
        Check(
            "ignore-rho", forgetting.IgnoreRho, forgetting.IgnoreRho + share <= 1,
            "a number of at least 0 that is at most 1 together with rho");
        Check("forget-below", forgetting.ForgetBelow, forgetting.ForgetBelow is null
            || forgetting.ForgetBelow <= (forgetting.LearnAbove ?? double.PositiveInfinity), "a number not above learn-above");
        Check("lambda-max", forgetting.LambdaMax, forgetting.LambdaMax >= forgetting.LambdaMin, "a number not below lambda-min");
        Check("template", Data.Template, Data.Template.Length > 0, "auto, tulu, plain, chat or a file with a chat template");
        if (Data.Weights.Count > 0 && Data.Files.Count > 0 && Data.Weights.Count != Data.Files.Count)
        {
            throw new UserException(
                $"data-weights are {Data.Weights.Count} numbers, and data is {Data.Files.Count} files; expected a number for each file");
        }

        CheckExclusive();
    }

    private void CheckExclusive()
    {
        if (TokenForgetting.LearnAbove is null != TokenForgetting.ForgetBelow is null)
        {
            throw new UserException(
                $"{(TokenForgetting.LearnAbove is null ? "forget-below" : "learn-above")} is given alone, "
                + "expected learn-above and forget-below together");
        }

        if (TokenForgetting.LearnAbove != null && (TokenForgetting.Rho != null || TokenForgetting.IgnoreRho > 0))
        {
            throw new UserException(
                $"learn-above and {(TokenForgetting.Rho != null ? "rho" : "ignore-rho")} are both given, "
                + "expected one way to divide the tokens");
        }

        if (TokenForgetting.LearnReference && (TokenForgetting.Reference != null || TokenForgetting.Scores != null))
        {
            throw new UserException(
                $"learn-reference is given with {(TokenForgetting.Reference != null ? "reference" : "scores")}, "
                + "expected reference-data or reference-fraction, whose examples it learns too");
        }

        if (Lora.BaseDtype is { } type && Unlearns)
        {
            throw new UserException(
                $"base-dtype is {type} with method {Method}, which trains and weighs all weights of the base; "
                + "expected another method, or none of it");
        }

        if (Steers && ForgetSet.RetainKl)
            throw new UserException("retain-kl is given with objective rmu, which keeps hidden states near the base model's instead");

        if (Steers && Compute.DividesState)
        {
            throw new UserException(
                $"shard is {Compute.Shard} with objective rmu, which trains a few matrices alone; expected shard none with it");
        }

        if ((ForgetsAnswers || Steers) && TokenForgetting.Ascent is { } ascent)
        {
            throw new UserException(
                $"ascent is {Recipe.Text(ascent)} with objective {Recipe.Text(ForgetSet.Objective)}, expected objective token with it");
        }

        if (TokenForgetting.ReferenceQuality && (TokenForgetting.Reference != null || TokenForgetting.Scores != null))
        {
            throw new UserException(
                $"reference-quality is given with {(TokenForgetting.Reference != null ? "reference" : "scores")}, "
                + "expected reference-data or reference-fraction, whose examples it looks at");
        }

        if (Unlearning.Threshold != null && Unlearning.Fraction != null)
            throw new UserException("forget-fraction and forget-threshold are both given, expected one of them");

        if (Unlearning.Prompts.Count > 0 && Unlearning.Elicited != null)
            throw new UserException("forget-prompts and elicited are both given, expected one source of self-generated samples");

        if (Evaluation.ValidData != null && Evaluation.ValidFraction != null)
            throw new UserException("valid-data and valid-fraction are both given, expected one source of held-out examples");

        if (Evaluation.Tasks.Count > 0 && Evaluation.DataDir is null)
            throw new UserException("eval-tasks is given without eval-data-dir, expected the folder with the benchmarks' files");

        string[] sources =
        [
            .. TokenForgetting.Reference is null ? Array.Empty<string>() : ["reference"],
            .. TokenForgetting.ReferenceData is null ? Array.Empty<string>() : ["reference-data"],
            .. TokenForgetting.Scores is null ? Array.Empty<string>() : ["scores"],
        ];
        if (sources.Length > 1)
            throw new UserException($"{sources[0]} and {sources[1]} are both given, expected one source of influence");

        // Of a continued adapter the model itself may be the reference.
        if (TokenForgetting.Reference != null && Adapter is null && Model.Length > 0 && SamePath(TokenForgetting.Reference, Model))
        {
            throw new UserException(
                $"reference is {TokenForgetting.Reference}, the model itself, under which no token has any influence; "
                + "expected the model after training on trusted examples");
        }

        if (TokenForgetting.ReferenceFraction != null && sources.Length > 0)
            throw new UserException($"reference-fraction and {sources[0]} are both given, expected one source of influence");

        if (TokenForgetting.Lambda != LambdaKind.Linear && Compat == Compatibility.Paper)
        {
            throw new UserException(
                $"lambda is {Recipe.Text(TokenForgetting.Lambda)} with compat paper, expected linear: the paper's program has no other");
        }
    }

    private static bool SamePath(string a, string b) =>
        Path.TrimEndingDirectorySeparator(Path.GetFullPath(a)) == Path.TrimEndingDirectorySeparator(Path.GetFullPath(b));

    private static void Check<T>(string name, T value, bool holds, string expected)
    {
        if (!holds)
            throw new UserException($"{name} is {Recipe.Text(value)}, expected {expected}");
    }
}
