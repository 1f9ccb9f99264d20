using System.CommandLine;
using TorchSharp;

namespace Forgetting.Peers;

/// <summary>
/// <c>score</c>: losses of the response tokens of many examples under two models. Examples are sorted by length and padded to the longest
/// of their batch; with <c>--head all</c> every position's logits are computed, as models of the transformers library do, else those before
/// a response token.
/// </summary>
internal static class ScorePeer
{
    public static Command Create()
    {
        var head = new Option<string>("--head") { DefaultValueFactory = _ => "all" };
        var command = new Command("score", "Time the losses of many examples under two models.") { head };
        var options = new WorkloadOptions(command, steps: 1, warmup: 1, batch: 16);
        Option<int> examples = options.Add(command, "examples", 1000), shortest = options.Add(command, "shortest", 16),
            longest = options.Add(command, "longest", 96);
        command.SetAction(parsed =>
        {
            (int count, int least, int most) = (parsed.GetValue(examples), parsed.GetValue(shortest), parsed.GetValue(longest));
            Workload workload = options.Read(parsed) with { Length = most };
            int[] lengths = [.. Enumerable.Range(0, count).Select(i => least + (37 * i % (most - least + 1)))];
            bool all = parsed.GetValue(head) == "all";
            using Decoder first = new(workload), second = new(workload);
            (torch.Tensor Ids, torch.Tensor Response)[] batches =
                [.. lengths.OrderDescending().Chunk(workload.Batch).Select(some => Batch(workload, some))];
            double influence = 0;
            var timing = Timing.Of(workload, () =>
            {
                using var _ = torch.inference_mode();
                influence = (Losses(first, batches, all) - Losses(second, batches, all)).abs().mean().item<float>();
            });
            double operations = 2 * lengths.Sum(n =>
                (2 * workload.BlockWeights * n) + (2 * workload.HeadWeights * (n - (n / 2))) + workload.AttentionOperations(n));
            options.Print(
                parsed, $"{workload.Name} score {count} of {least}-{most}", 2.0 * lengths.Sum(), timing, operations,
                ("influence", influence));
        });
        return command;
    }

    private static (torch.Tensor Ids, torch.Tensor Response) Batch(Workload workload, int[] lengths)
    {
        torch.Tensor ids = torch.zeros([lengths.Length, lengths[0]], torch.int64);
        torch.Tensor response = torch.zeros([lengths.Length, lengths[0] - 1], torch.@bool);
        for (int i = 0; i < lengths.Length; i++)
        {
            ids[i, ..lengths[i]] = torch.randint(workload.Vocabulary, [lengths[i]], torch.int64);

            // Place t predicts token t + 1.
            response[i, ((lengths[i] / 2) - 1)..(lengths[i] - 1)] = true;
        }

        return (ids, response);
    }

    private static torch.Tensor Losses(Decoder model, (torch.Tensor Ids, torch.Tensor Response)[] batches, bool all)
    {
        var results = new List<torch.Tensor>();
        foreach ((torch.Tensor ids, torch.Tensor response) in batches)
        {
            using var scope = torch.NewDisposeScope();
            torch.Tensor hidden = model.Hidden(ids)[.., ..^1], targets = ids[.., 1..], losses;
            if (all)
            {
                losses = torch.nn.functional.cross_entropy(
                    model.Logits(hidden).flatten(0, 1), targets.flatten(), reduction: torch.nn.Reduction.None);
                losses = losses.view(ids.shape[0], -1)[response];
            }
            else
            {
                losses = torch.nn.functional.cross_entropy(
                    model.Logits(hidden[response]), targets[response], reduction: torch.nn.Reduction.None);
            }

            results.Add(losses.MoveToOuterDisposeScope());
        }

        return torch.cat(results);
    }
}
