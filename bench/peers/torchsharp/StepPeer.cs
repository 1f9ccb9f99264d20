using System.CommandLine;
using TorchSharp;

namespace Forgetting.Peers;

/// <summary><c>step</c>: forward, backward and AdamW, no dropout, no clipping, a loss on every token but each sequence's first.</summary>
internal static class StepPeer
{
    public static Command Create()
    {
        var command = new Command("step", "Time training steps.");
        var options = new WorkloadOptions(command, steps: 10, warmup: 3);
        command.SetAction(parsed =>
        {
            Workload workload = options.Read(parsed);
            using var model = new Decoder(workload);
            using var optimizer = torch.optim.AdamW(model.parameters().Where(p => p.requires_grad), lr: 1e-4, weight_decay: 0);
            using torch.Tensor ids = torch.randint(workload.Vocabulary, [workload.Batch, workload.Length], torch.int64);
            double loss = 0;
            var timing = Timing.Of(workload, () =>
            {
                optimizer.zero_grad();
                torch.Tensor found = model.Loss(ids);
                found.backward();
                optimizer.step();
                loss = found.item<float>();
            });
            options.Print(
                parsed, $"{workload.Name} step {workload.Batch}x{workload.Length} LoRA {workload.LoraRank}",
                workload.Batch * workload.Length, timing, Operations(workload), ("loss", loss));
        });
        return command;
    }

    // As StepSettings.Operations counts them.
    private static double Operations(Workload w)
    {
        double tokens = w.Batch * w.Length;
        double adapter = (double)w.LoraRank * w.Layers * tokens * (((w.Gpt2 ? 4 : 6) + 2) * w.Dim + ((w.Gpt2 ? 2 : 3) * (w.Dim + w.Mlp)));
        double products = (w.BlockWeights * tokens) + (w.HeadWeights * w.Batch * (w.Length - 1));
        return ((w.LoraRank > 0 ? 4 : 6) * products) + (6 * adapter) + (3.5 * w.Batch * w.AttentionOperations(w.Length));
    }
}
