using Forgetting.Data;
using Forgetting.HuggingFace.ChatTemplates;
using Forgetting.HuggingFace.Tokenizers;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>Reads and encodes data as a run's settings say.</summary>
public static class ExampleLoader
{
    /// <summary>The examples of a file as token ids, in order.</summary>
    /// <param name="path">JSON Lines, or one JSON array.</param>
    /// <param name="options">Template, field names, longest example and special tokens.</param>
    /// <exception cref="UserException">The file or the template is missing or malformed, or an example has nothing to train on; names the line.</exception>
    public static IReadOnlyList<EncodedExample> Load(string path, Tokenizer tokenizer, ModelConfig config, TrainingOptions options)
    {
        var encoder = new ExampleEncoder(tokenizer, LongestExample(config, options), options.AllowSpecial, Layout(options.Template, options.Model));
        return encoder.EncodeAll(DataSet.Read(path, Fields(options)));
    }

    /// <summary>Names of the fields that the settings give.</summary>
    public static DataFields Fields(TrainingOptions options)
    {
        var standard = new DataFields();
        return standard with { Prompt = options.PromptField ?? standard.Prompt, Completion = options.CompletionField ?? standard.Completion };
    }

    /// <summary>The layout of conversations that a setting names.</summary>
    /// <param name="name"><c>tulu</c>, <c>plain</c>, <c>chat</c>, or the path of a file.</param>
    /// <param name="model">The checkpoint, whose template <c>chat</c> is and whose special tokens a file's template uses.</param>
    /// <exception cref="UserException">There is none, or it is malformed.</exception>
    public static MessageLayout Layout(string name, string model) => name switch
    {
        "tulu" => MessageLayout.Tulu,
        "plain" => MessageLayout.Plain,
        "chat" => MessageLayout.Of(ChatTemplate.Load(model)
            ?? throw new UserException($"{model}: no chat template; expected chat_template.jinja, or chat_template in tokenizer_config.json")),
        _ when File.Exists(name) => MessageLayout.Of(ChatTemplate.LoadFile(name, model)),
        _ => throw new UserException($"template is \"{name}\"; expected tulu, plain, chat or a file with a chat template"),
    };

    /// <summary>Tokens kept of a sequence: no more than asked for and no more than the model has positions.</summary>
    public static int LongestExample(ModelConfig config, TrainingOptions options) => Math.Min(options.MaxLength, config.ContextLength);
}
