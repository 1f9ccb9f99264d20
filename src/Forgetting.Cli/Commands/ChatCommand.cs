using System.CommandLine;
using System.Runtime.InteropServices;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting chat</c>: questions from the terminal or a pipe, a line each, and the model's answers as they come.</summary>
internal static class ChatCommand
{
    private const string Exit = "/exit";

    public static Subcommand Entry { get; } = new(
        "chat",
        $"Talk with a model; {Exit} or the end of the input ends the conversation, Ctrl-C an answer.",
        Fill);

    private static void Fill(Command command)
    {
        Option<string> model = CommonOptions.Model();
        Option<string?> adapter = CommonOptions.Adapter();
        Option<string?> baseDtype = CommonOptions.BaseDtype();
        var system =
            new Option<string?>("--system") { Description = "system message that stands before the conversation", HelpName = "TEXT" };
        Option<string?> template = CommonOptions.Template(
            "layout of the conversation: chat (the model's own template), tulu, plain or a file; chat where the model has one, else tulu");
        Option<string> device = CommonOptions.Device();
        Option<string> products = CommonOptions.Products();
        Option<string?> dtype = CommonOptions.Dtype();
        command.Fill(model, adapter, baseDtype, system, template);
        var sampling = new SamplingOptions(command);
        command.Options.Add(device);
        command.Options.Add(dtype);
        command.Options.Add(products);
        command.SetAction(parsed =>
        {
            using IBackend backend = Devices.Open(parsed.GetValue(device)!, parsed.GetValue(dtype), parsed.GetValue(products)!);
            using LoadedModel loaded = LoadedModel.Load(
                parsed.GetValue(model)!, backend, adapter: parsed.GetValue(adapter), baseType: CommonOptions.BaseType(parsed, baseDtype));
            MessageLayout messages = ChatLayout.Named(parsed.GetValue(template) ?? "auto", loaded.Source.Path, loaded.Adapter);
            loaded.TurnEnd = ChatLayout.TurnEnd(loaded.Tokenizer, messages);
            using var session = new ChatSession(loaded, messages, sampling.Read(parsed, loaded), parsed.GetValue(system));
            Converse(session, Console.In, Console.Out, interactive: !Console.IsInputRedirected);
        });
    }

    /// <summary>Answers every line of <paramref name="input"/> until it ends or says <c>/exit</c>.</summary>
    /// <param name="interactive">Someone is typing: show where to type, and go on after an error.</param>
    internal static void Converse(ChatSession session, TextReader input, TextWriter output, bool interactive)
    {
        while (Ask() is { } line && line.Trim() != Exit)
        {
            if (string.IsNullOrWhiteSpace(line))
                continue;

            // While an answer is coming, the first Ctrl-C ends that instead of the program.
            using var cancellation = new CancellationTokenSource();
            using var registration = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal =>
            {
                signal.Cancel = !cancellation.IsCancellationRequested;
                cancellation.Cancel();
            });
            try
            {
                session.Answer(line, Show, cancellation.Token);
                output.WriteLine();
            }
            catch (UserException error) when (interactive)
            {
                Console.Error.WriteLine($"error: {error.Message}");
            }
        }

        string? Ask()
        {
            if (interactive)
                Show("> ");

            return input.ReadLine();
        }

        void Show(string part)
        {
            output.Write(part);
            output.Flush();
        }
    }
}
