using System.Text.Json;
using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Models;

/// <summary>
/// A decoder family: how its <c>config.json</c> says what the decoder computes, and how its files name and lay out the weights. The decoder
/// itself never asks for the family, only for what <see cref="ModelConfig"/> says.
/// </summary>
[JsonConverter(typeof(NameConverter))]
internal abstract class ModelFamily
{
    /// <summary>Its <c>model_type</c> in <c>config.json</c>.</summary>
    public abstract string ModelType { get; }

    /// <summary>Paths of its modules.</summary>
    public abstract ModuleNames Names { get; }

    /// <summary>Keys of <c>config.json</c> that <see cref="ReadConfig"/> looks at, those of every family apart.</summary>
    public abstract IReadOnlyCollection<string> ConfigKeys { get; }

    /// <summary>Whether its files hold linear layers as [in, out], as GPT-2's Conv1D does.</summary>
    public virtual bool StoresTransposed => false;

    /// <summary>Whether files hold the transpose of a matrix.</summary>
    /// <param name="name">Name of the tensor.</param>
    public virtual bool IsTransposed(string name) => false;

    /// <summary>What the decoder must know, but for the special tokens.</summary>
    /// <param name="json">The file's object.</param>
    /// <exception cref="Core.UserException">A size is missing or out of range, or a feature is not supported.</exception>
    public abstract ModelConfig ReadConfig(JsonView json);

    /// <summary>Writes what <see cref="ReadConfig"/> reads, in the spelling that every version of Hugging Face's library reads.</summary>
    public abstract void WriteConfig(Utf8JsonWriter json, ModelConfig config);

    /// <summary>Name of the architecture in GGUF files; null where llama.cpp has none.</summary>
    public virtual string? GgufArchitecture => null;

    /// <summary>Whether llama.cpp reads the rows of q and k with RoPE's pairs side by side.</summary>
    public virtual bool GgufPairsRows => false;

    /// <summary>Whether llama.cpp reads a tensor of what RoPE's frequencies are divided by.</summary>
    public virtual bool GgufReadsRopeFactors => false;

    /// <summary>Whether llama.cpp multiplies the embedding by √C without being told.</summary>
    public virtual bool GgufScalesEmbedding => false;

    /// <summary>
    /// Where llama.cpp knows windows of the family: every so many layers the last has none. 0 where it knows none.
    /// </summary>
    public virtual int GgufWindowPattern => 0;

    /// <summary>
    /// What llama.cpp computes otherwise than a configuration says, and what it would have to say; null where there is nothing.
    /// </summary>
    public virtual (string Found, string Expected)? GgufLimit(ModelConfig config) => null;

    /// <inheritdoc/>
    public override string ToString() => ModelType;

    // Written only: inspections say it.
    private sealed class NameConverter : JsonConverter<ModelFamily>
    {
        public override bool CanConvert(Type typeToConvert) => typeof(ModelFamily).IsAssignableFrom(typeToConvert);

        public override ModelFamily Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            throw new NotSupportedException();

        public override void Write(Utf8JsonWriter writer, ModelFamily value, JsonSerializerOptions options) =>
            writer.WriteStringValue(value.ModelType);
    }
}
