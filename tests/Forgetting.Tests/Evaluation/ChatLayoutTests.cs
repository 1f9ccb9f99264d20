using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Evaluation;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Forgetting.Text.ChatTemplates;
using Xunit;
using static Forgetting.Tests.Tokenizers.TestTokenizers;

namespace Forgetting.Tests.Evaluation;

/// <summary>Benchmarks asked as a model was trained: expectations are written out with a tokenizer of one token a byte.</summary>
[Collection(CommandCollection.Name)]
public class ChatLayoutTests
{
    private const string Template =
        "{{ '<s>' }}{% for m in messages %}{{ m.role }}: {{ m.content }}<|turn|>{% endfor %}{% if add_generation_prompt "
        + "%}assistant: {% endif %}";

    [SharedDataFact]
    public void Contexts_become_messages_and_continuations_the_tokens_that_training_learns()
    {
        using Checkpoint model = Checkpoint.Open(SharedData.Path("stories260K", "hf"));
        var encoder = new RequestEncoder(
            Bytes(), model.Config, layout: MessageLayout.From(ChatTemplate.Parse(Template, "t", new Dictionary<string, string>())));
        LogLikelihoodRequest request = encoder.Encode("Is it red?", " no"), ended = encoder.Encode("Is it red?", " no", end: true);
        int[] asked = [Bos, .. Utf8("user: Is it red?"), Turn, .. Utf8("assistant: ")];
        Assert.Equal(asked, request.Context);
        Assert.Equal(Utf8("no"), request.Continuation);
        Assert.Equal([.. Utf8("no"), Turn], ended.Continuation);
        Assert.Equal(asked, encoder.EncodePrompt("Is it red?", 5).Ids);
        Assert.Equal(Utf8("no"), Assert.Single(encoder.EncodeRolling("no")).Continuation);
    }

    [SharedDataFact]
    public void A_folder_that_carries_a_template_is_asked_by_it_without_being_told()
    {
        using TemporaryFolder folder = new();
        string stories = SharedData.Path("stories260K", "hf"), model = folder["model"];
        Directory.CreateDirectory(model);
        foreach (string file in Directory.GetFiles(stories))
        {
            File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        }

        string data = folder.Write("q.jsonl", """{"q": "Is it red?", "a": "no"}""");
        folder.Write(
            "tasks/red.yaml",
            "task: red\nfiles: q.jsonl\nformat: json\nfields: {q: string, a: string}\noutput_type: loglikelihood\ndoc_to_text: "
                + "\"{{q}}\"\ndoc_to_target: \"{{a}}\"\nmetric_list: probability\n");
        double plain = Value("plain"), bare = Value(null);
        Assert.Equal(plain, bare);
        File.WriteAllText(Path.Combine(model, ChatTemplate.FileName), Template);
        Assert.NotEqual(plain, Value(null));
        Assert.Equal(Value("chat"), Value(null));
        Assert.Equal(plain, Value("plain"));

        // The paper's benchmarks are texts as they are, whatever its layout for training was.
        File.WriteAllText(Path.Combine(model, ChatTemplate.FileName), MessageLayout.Tulu.ToTemplate(Bytes()));
        Assert.Equal(plain, Value(null));
        Assert.NotNull(ChatLayout.Own(model));

        double Value(string? template)
        {
            string output = folder[Guid.NewGuid().ToString("N")];
            CommandResult result = CommandResult.Of(
                ["eval", "--model", model, "--tasks", "red", "--include", folder["tasks"], "--data-dir", data, "--out", output, "--device",
                    "cpu", "--json", .. template is null ? Array.Empty<string>() : ["--template", template]]);
            Assert.True(result.ExitCode == 0, result.Error);
            using var json = System.Text.Json.JsonDocument.Parse(result.Output);
            return json.RootElement.GetProperty("results").GetProperty("red").GetProperty("probability,none").GetDouble();
        }
    }
}
