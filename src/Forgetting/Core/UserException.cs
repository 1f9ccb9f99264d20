namespace Forgetting.Core;

/// <summary>
/// Bad input. The message is one line that names the file, the line or key, what was found and what was expected; the command
/// line prints it after "error: " and ends with exit code 2.
/// </summary>
public sealed class UserException : Exception
{
    /// <summary>An exception with its line, in which control characters are escaped and long quotes cut.</summary>
    public UserException(string message)
        : base(OneLine.Of(message))
    {
    }

    /// <summary>An exception with its line and a cause.</summary>
    public UserException(string message, Exception innerException)
        : base(OneLine.Of(message), innerException)
    {
    }

    /// <summary>An exception without a line.</summary>
    public UserException()
    {
    }
}
