using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Tensors;

namespace Forgetting.LlamaCpp.Tests;

/// <summary>A checkpoint in this program, whose weights may be made those of a GGUF file.</summary>
internal sealed class HeldModel : IDisposable
{
    private readonly CpuBackend _backend = new(2);
    private readonly LoadedModel _loaded;

    public HeldModel(string folder, string? adapter = null) => _loaded = LoadedModel.Load(folder, _backend, adapter: adapter);

    private Decoder Decoder => _loaded.Decoder;

    /// <summary>Fills every weight from the file.</summary>
    public HeldModel With(GgufReader file)
    {
        foreach (Parameter parameter in Decoder.BaseParameters)
        {
            parameter.SetRows(_backend, 0, ValuesOf(file, Decoder.Config, parameter));
        }

        return this;
    }

    /// <summary>What a parameter is by the file, in this program's order.</summary>
    public static float[] ValuesOf(GgufReader file, ModelConfig config, Parameter parameter)
    {
        float[] values = file.Tensors[NameOf(config, parameter.Name)].Values();
        string[] parts = parameter.Name.Split('.');
        int columns = parts[^1] == "bias" ? 1 : parameter.Shape.Columns;
        if (config.Family.GgufPairsRows && parts[^2] is "q_proj" or "k_proj")
            values = Halves(values, config.HeadSize, columns);

        if (parts[^2] == "query_key_value")
            values = ByHead(values, config.HeadSize, columns);

        return parameter.Kind == ParameterKind.Vector && config.GainOffset != 0
            ? Array.ConvertAll(values, value => value - (float)config.GainOffset)
            : values;
    }

    /// <summary>The most probable tokens after a prompt, end tokens among them.</summary>
    public int[] Greedy(int[] prompt, int count) =>
        new Generator(Decoder).Generate([prompt], new GenerationOptions { MaxNewTokens = count, StopIds = [] })[0];

    /// <summary>Logits after each token of a text.</summary>
    public float[][] Logits(int[] ids)
    {
        int[] all = [.. Enumerable.Range(0, ids.Length)];
        using var cache = new KeyValueCache(Decoder.Config, _backend, ids.Length);
        cache.Place(all, [0], [ids.Length]);
        Tensor logits = Decoder.Logits(ids, all, [0, ids.Length], all, cache);
        var values = new float[logits.Count];
        _backend.Download<float>(logits, values);
        return [.. values.Chunk(logits.Columns)];
    }

    public void Dispose()
    {
        _loaded.Dispose();
        _backend.Dispose();
    }

    // The names of the parts of llama.cpp's models, beside Hugging Face's.
    private static string NameOf(ModelConfig config, string parameter)
    {
        bool after = config.NormPlace != NormPlace.Before;
        (string Theirs, string Ours)[] parts =
        [
            ("input_layernorm", "attn_norm"), ("post_attention_layernorm", after ? "post_attention_norm" : "ffn_norm"),
            ("post_feedforward_layernorm", "post_ffw_norm"), ("pre_feedforward_layernorm", "ffn_norm"),
            ("self_attn.q_norm", "attn_q_norm"), ("self_attn.k_norm", "attn_k_norm"), ("self_attn.q_proj", "attn_q"),
            ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"),
            ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"), ("model.embed_tokens", "token_embd"),
            ("model.norm", "output_norm"), ("lm_head", "output"), ("model.layers", "blk"), ("transformer.h", "blk"),
            ("transformer.wte", "token_embd"), ("transformer.wpe", "position_embd"), ("transformer.ln_f", "output_norm"),
            ("ln_1", "attn_norm"), ("ln_2", "ffn_norm"), ("attn.c_attn", "attn_qkv"), ("attn.c_proj", "attn_output"),
            ("self_attn.qkv_proj", "attn_qkv"), ("mlp.gate_up_proj", "ffn_up"), ("gpt_neox.layers", "blk"),
            ("gpt_neox.embed_in", "token_embd"), ("gpt_neox.final_layer_norm", "output_norm"), ("embed_out", "output"),
            ("attention.query_key_value", "attn_qkv"), ("attention.dense", "attn_output"), ("mlp.dense_h_to_4h", "ffn_up"),
            ("mlp.dense_4h_to_h", "ffn_down"), ("mlp.c_fc", "ffn_up"), ("mlp.c_proj", "ffn_down"),
        ];
        return parts.Aggregate(parameter, (name, part) => name.Replace(part.Theirs, part.Ours, StringComparison.Ordinal));
    }

    // All queries, all keys and all values in the file, and those of each head here.
    private static float[] ByHead(float[] parts, int headSize, int columns)
    {
        var heads = new float[parts.Length];
        int piece = headSize * columns, count = parts.Length / piece / 3;
        for (int i = 0; i < 3 * count; i++)
        {
            Array.Copy(parts, i * piece, heads, ((i % count * 3) + (i / count)) * piece, piece);
        }

        return heads;
    }

    // RoPE's pairs lie side by side in the file, and half a head apart here.
    private static float[] Halves(float[] paired, int headSize, int columns)
    {
        var halves = new float[paired.Length];
        for (int row = 0; row < paired.Length / columns; row++)
        {
            int head = row / headSize * headSize, within = row % headSize;
            int to = head + (within / 2) + (within % 2 * headSize / 2);
            Array.Copy(paired, row * columns, halves, to * columns, columns);
        }

        return halves;
    }
}
