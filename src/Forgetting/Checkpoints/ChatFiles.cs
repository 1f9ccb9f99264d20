using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Text.ChatTemplates;

namespace Forgetting.Checkpoints;

/// <summary>
/// What the folder of a trained model or adapter says about conversations: how they are laid out, and which tokens end an answer.
/// </summary>
/// <param name="Template">The chat template that the model was trained on, for a folder to carry; null where the folder's own is
/// that.</param>
/// <param name="Ends">Ids that end an answer, to be added to those that the folder names.</param>
internal sealed record ChatFiles(string? Template, IReadOnlyList<int> Ends)
{
    private const string TokenizerConfig = "tokenizer_config.json", GenerationConfig = "generation_config.json";
    private const string EosKey = "eos_token_id", TemplateKey = "chat_template";

    private static readonly JsonSerializerOptions s_written =
        new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Those that an adapter's folder has.</summary>
    /// <exception cref="UserException">A file is malformed.</exception>
    public static ChatFiles OfAdapter(string folder)
    {
        string template = Path.Combine(folder, ChatTemplate.FileName);
        return new(File.Exists(template) ? InputFile.ReadText(template, "a chat template") : null, EndsIn(folder, GenerationConfig));
    }

    /// <summary>Adds them to the files of a model's folder: its template replaced, its end ids made complete.</summary>
    /// <exception cref="UserException">A file of the folder is malformed.</exception>
    public void AddTo(string folder)
    {
        AddToAdapter(
            folder, known: [.. EndsIn(folder, File.Exists(Path.Combine(folder, GenerationConfig)) ? GenerationConfig : ConfigFile.Name)]);

        // Older readers know only the copy in this file.
        if (Template != null && File.Exists(Path.Combine(folder, TokenizerConfig)))
            Edit(folder, TokenizerConfig, json => json[TemplateKey] = Template);
    }

    /// <summary>Adds them to an adapter's folder.</summary>
    public void AddToAdapter(string folder) => AddToAdapter(folder, known: []);

    private void AddToAdapter(string folder, HashSet<int> known)
    {
        if (Template != null)
            File.WriteAllText(Path.Combine(folder, ChatTemplate.FileName), Template);

        if (Ends.All(known.Contains))
            return;

        int[] inModel = EndsIn(folder, ConfigFile.Name);
        foreach (string file in (string[])[ConfigFile.Name, GenerationConfig])
        {
            // The model's own stay first: it is the first that training data ends with.
            if (file == GenerationConfig || File.Exists(Path.Combine(folder, file)))
            {
                IEnumerable<int> all = EndsIn(folder, file).Concat(inModel).Concat(Ends).Distinct();
                Edit(folder, file, json => json[EosKey] = new JsonArray([.. all.Select(id => JsonValue.Create(id))]));
            }
        }
    }

    private static int[] EndsIn(string folder, string file) =>
        File.Exists(Path.Combine(folder, file))
        ? [.. JsonViewFields.LoadObject(Path.Combine(folder, file)).Ints(EosKey, 0, int.MaxValue)]
        : [];

    private static void Edit(string folder, string file, Action<JsonObject> change)
    {
        string path = Path.Combine(folder, file);
        try
        {
            JsonObject json = File.Exists(path) ? JsonNode.Parse(InputFile.ReadTextBytes(path, "JSON").Span)!.AsObject() : [];
            change(json);
            File.WriteAllText(path, json.ToJsonString(s_written) + "\n");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
            throw new UserException($"{path}: cannot be changed: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }
}
