namespace Forgetting.Models.Families;

/// <summary>The families there are; a new one is a file beside this and a line here.</summary>
internal static class ModelFamilies
{
    public static readonly ModelFamily Llama = new LlamaFamily(), Mistral = new MistralFamily(), Qwen2 = new Qwen2Family(),
        Qwen3 = new Qwen3Family(), Olmo2 = new Olmo2Family(), Granite = new GraniteFamily(), SmolLm3 = new SmolLm3Family(),
        Gemma = new GemmaFamily(), Gemma2 = new Gemma2Family(), Gemma3 = new Gemma3Family(), Phi3 = new Phi3Family(),
        GptNeoX = new GptNeoXFamily(),
        Gpt2 = new Gpt2Family(), GptNeo = new GptNeoFamily();

    /// <summary>All of them.</summary>
    public static readonly IReadOnlyList<ModelFamily> All =
        [Llama, Mistral, Qwen2, Qwen3, Gemma, Gemma2, Gemma3, Phi3, Olmo2, Granite, SmolLm3, GptNeoX, Gpt2, GptNeo];

    /// <summary>The family of a <c>model_type</c>; null for an unknown one.</summary>
    public static ModelFamily? Find(string modelType) => All.FirstOrDefault(f => f.ModelType == modelType);
}
