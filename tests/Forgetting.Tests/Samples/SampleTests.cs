using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Samples;

/// <summary>Every sample as a program of its own, on stories260K.</summary>
public sealed class SampleTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static string Stories => SharedData.Path("stories260K", "hf");

    public void Dispose() => _folder.Dispose();

    [SharedDataFact]
    public void Every_sample_does_what_it_says()
    {
        string data = _folder.Write("data.jsonl", string.Concat(
            Enumerable.Range(0, 6).Select(i => $$"""{"prompt": "Tom has {{i}} balls and a", "completion": " dog."}""" + "\n")));

        Match tuned = Regex.Match(
            Run("FineTune", Stories, _folder["tuned"]),
            @"^40 steps: the loss fell from ([0-9.]+) to ([0-9.]+)\nThe dog of Lily is called Spot");
        Assert.True(tuned.Success && Number(tuned, 2) < 0.5 * Number(tuned, 1), tuned.Value);
        Assert.True(File.Exists(_folder["tuned", "adapter/adapter_model.safetensors"]));

        // The adapter on the base and the merged model say the same.
        using LanguageModel merged = LanguageModel.Load(_folder["tuned", "model"], "cpu"),
            adapted = LanguageModel.Load(Stories, "cpu", _folder["tuned", "adapter"]);
        Assert.Equal(merged.Generate("The dog of Lily is called"), adapted.Generate("The dog of Lily is called"));

        string story = Run("Generate", Stories, "Once upon a time");
        Assert.Matches("^Once upon a time.{40,}", story.ReplaceLineEndings(" "));

        string scored = Run("ScoreTokens", Stories, data, data);
        Assert.Equal(6, Regex.Count(scored, @"^.*Tom has \d balls and a.*\[[+-].*$", RegexOptions.Multiline));

        Match hard = Regex.Match(
            Run("CustomMethod", Stories, data, _folder["hard"]), @"^hard-tokens: ([0-9]+) tokens learnt, ([0-9]+) left out$",
            RegexOptions.Multiline);
        Assert.InRange(Number(hard, 1) - Number(hard, 2), 0, 1);
        Assert.True(File.Exists(_folder["hard", "hard-tokens/losses.json"]) && !Directory.Exists(_folder["hard", "reference"]));

        Match[] tensors = Regex.Matches(
            Run("FisherOnly", Stories, data, _folder["fisher.safetensors"]), @"([0-9.]+)\s?% in the +[0-9,]+ weights of model\.").ToArray();
        Assert.Equal(10, tensors.Length);
        Assert.InRange(tensors.Sum(t => Number(t, 1)), 50, 100.5);
        Assert.True(File.Exists(_folder["fisher.safetensors"]));

        using LanguageModel untuned = LanguageModel.Load(Stories, "cpu");
        string answer = untuned.Chat("Hello", new() { MaxNewTokens = 64 }).ReplaceLineEndings("\n");
        Assert.StartsWith(answer + "\n", Run("Chat", Stories), StringComparison.Ordinal);

        string observed = Run("CustomObserver", Stories, data, _folder["observed"]);
        Assert.Matches(
            @"^step 1 of 16: loss [0-9.]+$", observed.Split('\n').First(line => line.StartsWith("step", StringComparison.Ordinal)));
        Assert.Contains("ended early", observed, StringComparison.Ordinal);
        Assert.NotEmpty(Directory.EnumerateFileSystemEntries(_folder["observed", "checkpoints"]));
    }

    [Fact]
    public void Every_sample_is_short_and_runs_in_the_test_above()
    {
        string test = File.ReadAllText(Repository.Path("tests", "Forgetting.Tests", "Samples", "SampleTests.cs"));
        string[] programs = Directory.GetFiles(Repository.Path("samples"), "Program.cs", SearchOption.AllDirectories);
        Assert.NotEmpty(programs);
        Assert.All(programs, program =>
        {
            Assert.InRange(File.ReadAllLines(program).Length, 1, 59);
            Assert.Contains($"Run(\"{Path.GetFileName(Path.GetDirectoryName(program))}\"", test, StringComparison.Ordinal);
        });
    }

    private static double Number(Match match, int group) => double.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);

    private static string Run(string sample, params string[] arguments)
    {
        // Built with this project, in the same configuration.
        string[] output = AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar).Split(Path.DirectorySeparatorChar)[^2..];
        string program = Repository.Path(["samples", sample, "bin", .. output, $"{sample}.dll"]);
        using Process process = Process.Start(new ProcessStartInfo("dotnet", [program, .. arguments])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        })!;
        process.StandardInput.Write("Hello\n"); // read by Chat alone
        process.StandardInput.Close();
        Task<string> error = process.StandardError.ReadToEndAsync();
        string printed = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, error.Result);
        return printed.ReplaceLineEndings("\n");
    }
}
