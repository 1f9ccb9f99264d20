using Forgetting.Data;
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
    /// <exception cref="UserException">The file is missing or malformed, or an example has nothing to train on; names the line.</exception>
    public static IReadOnlyList<EncodedExample> Load(string path, Tokenizer tokenizer, ModelConfig config, TrainingOptions options)
    {
        var standard = new DataFields();
        var fields = standard with { Prompt = options.PromptField ?? standard.Prompt, Completion = options.CompletionField ?? standard.Completion };
        var encoder = new ExampleEncoder(tokenizer, LongestExample(config, options), options.AllowSpecial);
        return encoder.EncodeAll(DataSet.Read(path, fields));
    }

    /// <summary>Tokens kept of a sequence: no more than asked for and no more than the model has positions.</summary>
    public static int LongestExample(ModelConfig config, TrainingOptions options) => Math.Min(options.MaxLength, config.ContextLength);
}
