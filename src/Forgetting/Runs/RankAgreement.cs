using System.Globalization;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.Distributed;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>What the ranks of a run make sure of before the first of them writes anything.</summary>
internal static class RankAgreement
{
    /// <summary>Refuses ranks of different programs, settings or inputs, and processors of which the same operations differ.</summary>
    /// <exception cref="UserException">Names the first difference.</exception>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static void CheckSame(ICommunicator communicator, TrainingOptions options, Provenance provenance)
    {
        Dictionary<string, string> facts = Program();

        // What a path leads to counts, and not the path; and not which of a machine's cards it is.
        foreach (Setting setting in Recipe.Settings.Where(s => !s.IsPath))
        {
            facts[setting.Name] = setting.Name == "device" ? DeviceName.Parse(options.Compute.Device).Kind : setting.Read(options);
        }

        foreach (RunInput input in provenance.Inputs)
        {
            string name = $"{input.Setting} {input.File ?? Path.GetFileName(input.Path)} (sha256)";
            facts[name] = facts.TryGetValue(name, out string? others) ? $"{others} {input.Sha256}" : input.Sha256;
        }

        Agreement.CheckSame(communicator, facts);
    }

    /// <summary>The same for a command that is no run, which knows its inputs only for this.</summary>
    /// <param name="backend">Where it computes.</param>
    /// <exception cref="UserException">Names the first difference.</exception>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static void CheckSame(ICommunicator communicator, TrainingOptions options, IBackend backend)
    {
        if (communicator.Size > 1)
            CheckSame(communicator, ResolvedSettings.On(backend, options), Provenance.From(options));
    }

    /// <summary>The same for a command without such settings.</summary>
    /// <param name="inputs">All that its results depend on.</param>
    /// <param name="backend">Where they are computed.</param>
    /// <exception cref="UserException">Names the first difference.</exception>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static void CheckSame(ICommunicator communicator, Fingerprint inputs, IBackend backend)
    {
        Dictionary<string, string> facts = Program();
        facts["device"] = $"{DeviceName.Parse(backend.Name).Kind} {backend.StorageType}";
        facts["products"] = (backend as CpuBackend)?.Products ?? "";
        foreach ((string name, string value) in inputs.Parts)
        {
            facts[name] = value;
        }

        Agreement.CheckSame(communicator, facts);
    }

    /// <summary>Waits until the first rank has begun the run, and refuses a folder that the others do not see.</summary>
    /// <exception cref="UserException">Names the rank.</exception>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static void CheckFolder(ICommunicator communicator, TrainingOptions options)
    {
        communicator.Barrier();
        if (communicator.Size == 1)
            return;

        Agreement.CheckSame(communicator, new Dictionary<string, string>
        {
            [$"the run in {options.Out}"] =
                RunRecord.Read(options.Out)?.Provenance.Began.ToString("O", CultureInfo.InvariantCulture) ?? "not there",
        });
    }

    private static Dictionary<string, string> Program() => new()
    {
        ["program version"] = $"{Provenance.Program.Version} {Provenance.Program.Commit}".TrimEnd(),
        ["program build"] = typeof(RankAgreement).Assembly.ManifestModule.ModuleVersionId.ToString("N"),
        ["vector width"] = VectorWidth.Description,
    };
}
