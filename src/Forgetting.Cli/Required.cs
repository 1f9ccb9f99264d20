namespace Forgetting.Cli;

/// <summary>Settings that a command cannot do without.</summary>
internal static class Required
{
    /// <exception cref="UserException">One has no value; names the first.</exception>
    public static void Of(params ReadOnlySpan<(string Name, string? Value)> settings)
    {
        foreach ((string name, string? value) in settings)
        {
            if (string.IsNullOrEmpty(value))
                throw new UserException($"--{name} is missing");
        }
    }
}
