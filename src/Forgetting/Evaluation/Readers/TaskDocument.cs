using Forgetting.Text.ChatTemplates;

namespace Forgetting.Evaluation.Readers;

/// <summary>One item of a benchmark.</summary>
/// <param name="Place">File and line, for errors.</param>
/// <param name="Fields">What templates see: strings, numbers, truth values and lists of them.</param>
internal sealed record TaskDocument(string Place, TemplateMap Fields);
