using System.CommandLine;
using TorchSharp;

namespace Forgetting.Peers;

/// <summary>
/// <c>fisher</c>: diagonal Fisher information, F += g² over the batch's examples, and the reductions of the forgetting confidence,
/// ⟨FΔ, g⟩ and ⟨F, g²⟩ of each, by a loop with batch size 1; and an ordinary forward and backward pass over the whole batch.
/// </summary>
internal static class FisherPeer
{
    public static Command Create()
    {
        var command = new Command("fisher", "Time Fisher information and forgetting confidence beside a backward pass.");
        var options = new WorkloadOptions(command, steps: 5, warmup: 2);
        command.SetAction(parsed =>
        {
            Workload workload = options.Read(parsed);
            using var model = new Decoder(workload);
            using torch.Tensor ids = torch.randint(workload.Vocabulary, [workload.Batch, workload.Length], torch.int64);
            torch.Tensor[] parameters = [.. model.parameters()];
            torch.Tensor[] fisher = [.. parameters.Select(p => torch.zeros_like(p, requires_grad: false))];
            torch.Tensor[] moved = [.. parameters.Select(p => torch.rand_like(p, requires_grad: false))];

            IList<torch.Tensor> Gradients(torch.Tensor some) =>
                torch.autograd.grad([model.Loss(some, torch.nn.Reduction.Sum)], parameters);

            var backward = Timing.Of(workload, () => Gradients(ids));
            var information = Timing.Of(workload, () =>
            {
                for (int i = 0; i < workload.Batch; i++)
                {
                    using var scope = torch.NewDisposeScope();
                    IList<torch.Tensor> gradients = Gradients(ids[i..(i + 1)]);
                    for (int p = 0; p < fisher.Length; p++)
                        fisher[p].addcmul_(gradients[p], gradients[p], 1);
                }
            });
            var confidence = Timing.Of(workload, () =>
            {
                for (int i = 0; i < workload.Batch; i++)
                {
                    using var scope = torch.NewDisposeScope();
                    IList<torch.Tensor> gradients = Gradients(ids[i..(i + 1)]);
                    double linear = 0, quadratic = 0;
                    for (int p = 0; p < fisher.Length; p++)
                    {
                        torch.Tensor flat = gradients[p].flatten();
                        linear += torch.dot(moved[p].flatten(), flat).item<float>();
                        quadratic += torch.dot(fisher[p].flatten(), flat * flat).item<float>();
                    }
                }
            });
            options.Print(
                parsed, $"{workload.Name} {workload.Batch}x{workload.Length} Fisher, batch size 1",
                workload.Batch * workload.Length, information, 0, ("backward_ms", backward.Median), ("confidence_ms", confidence.Median));
        });
        return command;
    }
}
