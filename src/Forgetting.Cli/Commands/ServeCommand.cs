using System.CommandLine;
using System.Net;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Server;
using Forgetting.Serving;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting serve</c>: models behind an API that OpenAI's clients speak.</summary>
internal static class ServeCommand
{
    private const string KeyVariable = "FORGETTING_API_KEY";

    public static Subcommand Entry { get; } = new("serve", "Answer OpenAI-style requests over HTTP, many at once.", Fill);

    private static void Fill(Command command)
    {
        Option<string> model = CommonOptions.Model("checkpoint: a Hugging Face folder, a run's folder, a GGUF file or a llama2.c .bin");
        Option<string?> name = new("--name") { Description = "what requests call the model; its folder's name", HelpName = "NAME" };
        Option<string[]> adapters = Pairs("--adapter", "PEFT adapter beside the model, which requests call NAME; several may be given");
        Option<string?> baseDtype = CommonOptions.BaseDtype();
        Option<string[]> others = Pairs("--beside", "further model, which requests call NAME; several may be given");
        Option<string?> template = CommonOptions.Template(
            "layout of conversations: chat (the model's own template), tulu, plain or a file; chat where the model has one, else tulu");
        Option<string> address = new("--host")
        {
            Description = "address to listen at; another than this machine's own needs a key", HelpName = "ADDRESS",
            DefaultValueFactory = _ => "127.0.0.1",
        };
        BoundedOption port = new("--port", "port to listen at, 0 for any that is free", 8000, 0, 65535);
        Option<string?> key = new("--api-key")
        {
            Description = $"what clients must send as bearer token; {KeyVariable} says it unseen", HelpName = "KEY",
        };
        Option<string[]> origins = new("--allow-origin")
        {
            Description = "origin of a page that may ask from a browser, such as http://localhost:3000", HelpName = "URL",
        };
        BoundedOption context = new(
            "--context", "most tokens of a prompt with its answer; the model's own length, at most 8192", null, 1, int.MaxValue);
        BoundedOption sequences = new("--sequences", "most texts that are written at once", 16, 1, 4096);
        BoundedOption waiting = new("--waiting", "most texts that wait for their turn; others are refused", 256, 0, 1 << 20);
        BoundedOption cache = new(
            "--cache-tokens", "most tokens of all texts that are written at once; four contexts", null, 1, int.MaxValue);
        BoundedOption tokens = new("--max-tokens", "most tokens of a chat's answer whose request names no limit", 1024, 1, int.MaxValue);
        BoundedOption seconds = new("--timeout", "most seconds for a request, waiting included", 600, 1, 86400);
        BoundedOption body = new("--max-body", "most KiB of a request", 8192, 1, 1 << 20);
        Option<string> device = CommonOptions.Device();
        Option<string?> dtype = CommonOptions.Dtype();
        Option<string> products = CommonOptions.Products();
        command.Fill(
            model, name, adapters, baseDtype, others, template, address, port, key, origins, context, sequences, waiting, cache, tokens,
            seconds, body, device, dtype, products);
        command.SetAction(parsed =>
        {
            var access = new AccessOptions
            {
                Address = Address(parsed.GetValue(address)!),
                Port = port.Read(parsed)!.Value,
                ApiKey = Key(parsed.GetValue(key)),
                Origins = parsed.GetValue(origins) ?? [],
                MaxBodyBytes = 1024L * body.Read(parsed)!.Value,
            };
            if (!access.IsLocal && access.ApiKey is null)
                throw new UserException($"--host is {access.Address}, which others reach; expected --api-key or {KeyVariable} with it");

            var limits = new AnswerLimits
            {
                Context = context.Read(parsed) ?? 8192,
                DefaultTokens = tokens.Read(parsed)!.Value,
                Time = TimeSpan.FromSeconds(seconds.Read(parsed)!.Value),
            };
            string path = parsed.GetValue(model)!;
            var choice = new ModelChoice(
                (parsed.GetValue(name) ?? ModelCard.NameOf(path), path), Named(parsed.GetValue(adapters), adapters.Name),
                Named(parsed.GetValue(others), others.Name), parsed.GetValue(template) ?? "auto",
                CommonOptions.BaseType(parsed, baseDtype));
            using IBackend backend = Devices.Open(parsed.GetValue(device)!, parsed.GetValue(dtype), parsed.GetValue(products)!);
            var engine = new EngineLimits { Sequences = sequences.Read(parsed)!.Value, Waiting = waiting.Read(parsed)!.Value };
            using ModelHost host = ModelHost.Load(choice, backend, engine, limits, cache.Read(parsed));
            Serve(access, host).GetAwaiter().GetResult();
        });
    }

    private static async Task Serve(AccessOptions access, ModelHost host)
    {
        using var interruption = new Interruption("stopping");
        var api = new ApiServer(host, access.ApiKey is not null);
        await using WebServer server = await WebServer.Start(access, api.Handle).ConfigureAwait(false);
        string names = string.Join(", ", host.Models.Select(model => model.Name));
        Console.Out.WriteLine($"{names} at {server.Address}v1; Ctrl-C ends it, and {server.Address} is a page to chat");
        await Task.Delay(Timeout.Infinite, interruption.Token).ContinueWith(
            _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).ConfigureAwait(false);
    }

    private static IPAddress Address(string text) => text == "localhost" ? IPAddress.Loopback
        : IPAddress.TryParse(text, out IPAddress? address) ? address
        : throw new UserException($"--host is \"{text}\", expected localhost or an IP address such as 127.0.0.1 or 0.0.0.0");

    private static string? Key(string? given)
    {
        string? key = given ?? Environment.GetEnvironmentVariable(KeyVariable);
        return key is null || key.Trim().Length > 0
            ? key?.Trim()
            : throw new UserException($"{(given is null ? KeyVariable : "--api-key")} is empty, expected a key");
    }

    private static (string Name, string Path)[] Named(string[]? pairs, string option) => [.. (pairs ?? []).Select(pair =>
        pair.IndexOf('=', StringComparison.Ordinal) is > 0 and var at && at < pair.Length - 1
            ? (pair[..at], pair[(at + 1)..])
            : throw new UserException($"{option} is \"{pair}\", expected NAME=PATH"))];

    private static Option<string[]> Pairs(string name, string description) =>
        new(name) { Description = description, HelpName = "NAME=DIR", DefaultValueFactory = _ => [] };
}
