using System.CommandLine;
using Forgetting.Core;

namespace Forgetting.Cli;

/// <summary>An option that takes a whole number within bounds.</summary>
internal sealed class BoundedOption : Option<int?>
{
    private readonly int? _standard;
    private readonly int _least;
    private readonly int _most;

    /// <param name="standard">What it is where it is not given; null for nothing.</param>
    public BoundedOption(string name, string description, int? standard, int least, int most)
        : base(name)
    {
        (Description, HelpName) = (description, "N");
        (_standard, _least, _most) = (standard, least, most);
        if (standard is not null)
            DefaultValueFactory = _ => standard;
    }

    /// <summary>What the command line says.</summary>
    /// <exception cref="UserException">It is out of bounds.</exception>
    public int? Read(ParseResult parsed) => parsed.GetValue(this) is not { } value ? _standard
        : value >= _least && value <= _most ? value
        : throw new UserException($"{Name} is {value}, expected {_least} to {_most}");
}
