namespace Forgetting.Evaluation;

/// <summary>Several tasks under one name.</summary>
/// <param name="Name">Name on the command line.</param>
/// <param name="Tasks">Names of tasks or of other groups.</param>
internal sealed record TaskGroup(string Name, IReadOnlyList<string> Tasks);

/// <summary>What several tasks together amount to.</summary>
/// <param name="Name">Name in results.</param>
/// <param name="Tasks">Tasks that it is made of.</param>
/// <param name="Metrics">The numbers.</param>
internal sealed record GroupResult(string Name, IReadOnlyList<string> Tasks, IReadOnlyList<MetricValue> Metrics);
