namespace Forgetting.Cli;

/// <summary>Settings that a command cannot do without.</summary>
internal static class Required
{
    /// <exception cref="UserException">Some have no value; names them all.</exception>
    public static void Of(params ReadOnlySpan<(string Name, string? Value)> settings)
    {
        var missing = new List<string>();
        foreach ((string name, string? value) in settings)
        {
            if (string.IsNullOrEmpty(value))
                missing.Add($"--{name}");
        }

        if (missing.Count > 0)
            throw new UserException(ParseComplaint.Missing(missing));
    }
}
