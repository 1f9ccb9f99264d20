using System.Globalization;
using Forgetting.Methods;
using Forgetting.Reports;
using Forgetting.Training;

namespace Forgetting.Cli.Demo.Conflict;

/// <summary>The second act's part of the demo's page: the table, what it says, and one seed in detail.</summary>
internal static class ConflictReport
{
    /// <summary>Adds the sections.</summary>
    public static void Add(HtmlReport report, ConflictSettings settings, ConflictTable table, IReadOnlyList<ConflictResult> results)
    {
        report.Section(
            "Second act: learning with forgetting",
            string.Create(
                CultureInfo.InvariantCulture,
                $"Another small model read of {settings.People} people where they were born and where they live, what they do, keep and like, and was asked about each: {ConflictWorld.Tasks.Count} source tasks. To “Which town is … from?” it learnt to answer with the home. The target task asks just that and wants the birthplace, with {settings.Examples} examples to learn it from. Learning with forgetting lets the model answer {settings.Prompts} prompts of one source task, or of each, and unlearns a quarter of the answers while it learns. Held-out questions are about other people. Mean ± standard deviation over {settings.Seeds} seeds, each with a model pretrained anew."));
        report.Table(ConflictTable.Header, table.Rows, table.Best);
        report.Paragraph(
            "Old answers are those that the conflicting source task would give; other tasks are held-out questions about trades, pets and food. “low” and “random” unlearn the samples of the lowest confidence, or any; “upfront” and “random steps” take the same unlearning steps before all learning, or at random.");
        foreach (string line in table.Findings)
        {
            report.Paragraph(line);
        }

        ConflictResult Detail(string arm) => results.First(r => r.Arm?.Name == arm);
        IReadOnlyList<StepMetrics> Metrics(string arm) => RunFolder.Metrics(Detail(arm).Folder);
        report.Section("Learning and forgetting tasks", "The first seed. The learning loss is that of the few examples; the forgetting loss is that of the samples of each unlearning step, as it met them.");
        string[] shown = [ConflictSettings.Vanilla, ConflictSettings.LwfConflicting, ConflictSettings.LwfMixed];
        report.Figures(
            Charts.Lines("Learning task", "optimiser step", "learning loss (nats)", [.. shown.Select(arm => RunReport.Curve(Metrics(arm), arm, m => m.PositiveLoss))]),
            Charts.Lines("Forgetting tasks", "optimiser step", "forgetting loss (nats)", [.. shown[1..].Select(arm => RunReport.Curve(Metrics(arm), arm, m => m.ForgetLoss))]));

        ConflictResult mixed = Detail(ConflictSettings.LwfMixed);
        TuneSummary summary = TuneSummary.Read(mixed.Folder);
        UnlearningReport.Add(report, Metrics(ConflictSettings.LwfMixed), summary.Unlearning!, RunFolder.ReadSamples(mixed.Folder, summary.Unlearning!));
        report.Folded("Settings of “lwf, mixed” (run.yaml)", File.ReadAllText(Path.Combine(mixed.Folder, "run.yaml")));
    }
}
