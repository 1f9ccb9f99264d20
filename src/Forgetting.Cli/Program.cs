using Forgetting.Cli;

return CommandLine.Run(args);
