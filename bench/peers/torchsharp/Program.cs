using System.CommandLine;
using Forgetting.Peers;

// The CPU benchmarks' work in PyTorch, driven by TorchSharp: each command does what the one of the same name of Forgetting.Benchmarks does,
// takes the same options, and prints the line of JSON that alternate.py reads. bench/README.md says what is the same and what is not.
var root = new RootCommand("The CPU benchmarks' work in PyTorch, by TorchSharp.");
root.Subcommands.Add(StepPeer.Create());
root.Subcommands.Add(ScorePeer.Create());
root.Subcommands.Add(GeneratePeer.Create());
root.Subcommands.Add(FisherPeer.Create());
return root.Parse(args).Invoke();
