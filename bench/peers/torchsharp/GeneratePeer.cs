using System.CommandLine;
using TorchSharp;

namespace Forgetting.Peers;

/// <summary>
/// <c>generate</c>: greedy generation with a key-value cache that is allocated once: all prompts in one pass, then a token for each
/// sequence a pass.
/// </summary>
internal static class GeneratePeer
{
    public static Command Create()
    {
        var command = new Command("generate", "Time the continuation of prompts.");
        var options = new WorkloadOptions(command, steps: 5, warmup: 1, batch: 1);
        Option<int> prompt = options.Add(command, "prompt", 32), added = options.Add(command, "new", 128);
        command.SetAction(parsed =>
        {
            (int known, int wanted) = (parsed.GetValue(prompt), parsed.GetValue(added));
            Workload workload = options.Read(parsed) with { Length = known + wanted };
            using var model = new Decoder(workload);
            using torch.Tensor prompts = torch.randint(workload.Vocabulary, [workload.Batch, known], torch.int64);
            var timing = Timing.Of(workload, () =>
            {
                using var _ = torch.inference_mode();
                (torch.Tensor Keys, torch.Tensor Values)[] caches = model.Caches(workload.Batch, workload.Length);
                torch.Tensor ids = prompts;
                for (int i = 0, place = 0; i < wanted; i++)
                {
                    using var scope = torch.NewDisposeScope();
                    torch.Tensor hidden = model.Hidden(ids, place, caches)[.., ^1..];
                    place += (int)ids.shape[1];
                    ids = model.Logits(hidden).argmax(-1).MoveToOuterDisposeScope();
                }
            });
            options.Print(
                parsed, $"{workload.Name} generate {workload.Batch}x({known}+{wanted})", workload.Batch * wanted, timing, 0,
                ("token_ms", timing.Median / wanted));
        });
        return command;
    }
}
