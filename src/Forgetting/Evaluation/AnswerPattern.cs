using System.Text.RegularExpressions;
using Forgetting.Core;

namespace Forgetting.Evaluation;

/// <summary>
/// A regular expression of a task over generated texts. It comes from a file and may backtrack without end: a second a text has to do.
/// </summary>
internal sealed class AnswerPattern
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(1);

    private readonly Regex _expression;
    private readonly string _place;

    /// <param name="expression">In .NET's syntax, which for such patterns is that of Python.</param>
    /// <param name="place">What errors begin with: file, line and key.</param>
    /// <exception cref="UserException">It is no regular expression.</exception>
    public AnswerPattern(string expression, string place)
    {
        _place = place;
        try
        {
            _expression = new Regex(expression, RegexOptions.CultureInvariant, s_limit);
        }
        catch (ArgumentException error)
        {
            throw new UserException($"{place}: {error.Message}".ReplaceLineEndings(" "), error);
        }
    }

    /// <summary>Matches in order.</summary>
    /// <exception cref="UserException">That takes longer than a second.</exception>
    public IReadOnlyList<Match> Matches(string text) => Guarded<IReadOnlyList<Match>>(() => [.. _expression.Matches(text).Cast<Match>()]);

    /// <summary>The text without the matches.</summary>
    /// <exception cref="UserException">That takes longer than a second.</exception>
    public string Remove(string text) => Guarded(() => _expression.Replace(text, ""));

    private T Guarded<T>(Func<T> action)
    {
        try
        {
            return action();
        }
        catch (RegexMatchTimeoutException error)
        {
            throw new UserException(
                $"{_place}: the expression \"{_expression}\" took more than {s_limit.TotalSeconds} s on one text; "
                    + "expected one that does not go back and forth",
                error);
        }
    }
}
