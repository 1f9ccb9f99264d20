using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Models;

namespace Forgetting.Testing;

/// <summary>Adapters of stories260K with random values, which change what it tells.</summary>
public static class StoriesAdapter
{
    /// <summary>Writes one.</summary>
    /// <param name="folder">A PEFT folder to write.</param>
    /// <param name="head">Whether the head is kept whole beside the low-rank parts, with values of its own.</param>
    public static void Write(string folder, int seed, bool head = false)
    {
        using var backend = new CpuBackend();
        using Checkpoint source = Checkpoint.Open(SharedData.Path("stories260K", "hf"));
        var lora = new LoraConfig { Rank = 4, Alpha = 8, Targets = ["q_proj", "down_proj"], ModulesToSave = head ? ["lm_head"] : [] };
        using var decoder = new Decoder(source.Config, backend, lora, (ulong)seed);
        source.LoadInto(decoder.BaseParameters, backend);
        var random = new Random(seed);
        foreach (Parameter parameter in decoder.TrainableParameters)
        {
            var values = new float[parameter.Shape.Count];
            backend.Download<float>(parameter.Master, values);
            parameter.SetRows(backend, 0, [.. values.Select(value => value + (float)(0.3 * (random.NextDouble() - 0.5)))]);
        }

        PeftAdapter.Write(folder, decoder, source.Path);
    }
}
