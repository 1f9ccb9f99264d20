using Forgetting.Core;

namespace Forgetting.Text.ChatTemplates;

/// <summary>
/// Something is wrong in a template; the line is added where it is known and <see cref="ChatTemplate"/> makes a
/// <see cref="UserException"/> of it.
/// </summary>
internal sealed class TemplateException(string message, int line = 0) : Exception(message)
{
    /// <summary>Line of the template, from 1; 0 where not yet known.</summary>
    public int Line { get; } = line;
}
