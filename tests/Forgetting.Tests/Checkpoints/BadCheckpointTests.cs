using System.Text.Json;
using System.Text.Json.Nodes;
using Forgetting.Checkpoints;
using Forgetting.Cli;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

/// <summary>Every kind of bad input gives its one line, naming the file and what was found and expected.</summary>
public sealed class BadCheckpointTests : IDisposable
{
    private const string Norm = "model.norm.weight";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("{", "not valid JSON")]
    [InlineData("[]", "not a JSON object")]
    [InlineData("{} {}", "not valid JSON")]
    [InlineData("{\"a\": 1}", "\"a\" is not an object")]
    [InlineData("{\"a\": {\"dtype\": \"F32\", \"shape\": [2]}}", "needs dtype, shape and data_offsets")]
    [InlineData("{\"a\": {\"dtype\": \"Q4\", \"shape\": [2], \"data_offsets\": [0, 8]}}", "has dtype \"Q4\", expected one of F32")]
    [InlineData("{\"a\": {\"dtype\": \"0\", \"shape\": [2], \"data_offsets\": [0, 8]}}", "has dtype \"0\"")]
    [InlineData("{\"a\": {\"dtype\": \"F32\", \"shape\": [-2], \"data_offsets\": [0, 8]}}", "whole numbers from 0")]
    [InlineData("{\"a\": {\"dtype\": \"F32\", \"shape\": [1.5], \"data_offsets\": [0, 8]}}", "whole numbers from 0")]
    [InlineData("{\"a\": {\"dtype\": \"F32\", \"shape\": 2, \"data_offsets\": [0, 8]}}", "not a list")]
    [InlineData("{\"a\": {\"dtype\": \"F32\", \"shape\": [4294967296, 4294967296], \"data_offsets\": [0, 8]}}", "impossible shape")]
    [InlineData("{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 4]}}", "has 4 bytes, expected 8 for F32 [2]")]
    [InlineData("{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [8, 0]}}", "expected [begin, end]")]
    [InlineData(
        "{\"a\": {\"dtype\": \"F32\", \"shape\": [4], \"data_offsets\": [0, 16]}}",
        "ends at byte 16 of the data, but the file has only 8: truncated?")]
    [InlineData(
        "{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8]}, \"b\": {\"dtype\": \"F32\", \"shape\": "
        + "[1], \"data_offsets\": [4, 8]}}",
        "\"b\" begins at byte 4 of the data, inside")]
    [InlineData("{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [4, 8]}}", "expected 0: a gap")]
    [InlineData("{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}}", "4 bytes follow the last tensor")]
    [InlineData(
        "{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8]}, \"a\": {\"dtype\": \"F32\", \"shape\": "
        + "[0], \"data_offsets\": [8, 8]}}",
        "\"a\" is there twice")]
    [InlineData("{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8], \"x\": 1}}", "unexpected \"x\"")]
    [InlineData("{\"__metadata__\": {\"format\": 1}}", "not a string")]
    public void A_header_that_lies_is_refused(string header, string expected)
    {
        string path = _folder["model.safetensors"];
        Folders.WriteFile(path, header, new byte[8]);
        AssertLine(path, expected, () => SafeTensorsFile.Open(path));
    }

    [Fact]
    public void Scalars_empty_tensors_and_padded_headers_are_legal()
    {
        string path = _folder["a.safetensors"];
        Folders.WriteFile(
            path,
            "{\"e\": {\"dtype\": \"F16\", \"shape\": [3, 0], \"data_offsets\": [0, 0]}, \"s\": {\"dtype\": \"I64\", \"shape\": [], "
                + "\"data_offsets\": [0, 8]}}   ",
            new byte[8]);
        using SafeTensorsFile file = SafeTensorsFile.Open(path);
        Assert.Equal(["e", "s"], file.Tensors.Select(t => t.Name));
        Assert.Equal(1, file.Tensors[1].Count);
    }

    [Fact]
    public void Files_that_end_early_or_have_absurd_header_lengths_are_refused()
    {
        string path = _folder["model.safetensors"];
        AssertLine(path, "no such file", () => SafeTensorsFile.Open(path));
        File.WriteAllBytes(path, []);
        AssertLine(path, "is empty", () => SafeTensorsFile.Open(path));
        File.WriteAllBytes(path, new byte[7]);
        AssertLine(path, "has 7 bytes", () => SafeTensorsFile.Open(path));
        Folders.WriteFile(path, "{}", [], headerLength: 3);
        AssertLine(path, "header length is 3, but only 2 bytes follow", () => SafeTensorsFile.Open(path));
        Folders.WriteFile(path, "{}", [], headerLength: 100_000_001);
        AssertLine(path, "expected at most 100000000", () => SafeTensorsFile.Open(path));
        Folders.WriteFile(path, "{}", [], headerLength: -1);
        AssertLine(path, "expected at most 100000000", () => SafeTensorsFile.Open(path));
    }

    [Theory]
    [InlineData("llama", "model_type", "\"mamba\"", "'model_type' is the string \"mamba\"; expected llama, mistral, ")]
    [InlineData("llama", "model_type", "\"qwen3_moe\"", "'model_type' is the string \"qwen3_moe\"; expected llama, mistral, ")]
    [InlineData("llama", "model_type", "null", "'model_type' is missing")]
    [InlineData("llama", "hidden_size", "0", "'hidden_size' is 0; expected 1 to")]
    [InlineData("llama", "hidden_size", "\"10\"", "expected an integer")]
    [InlineData("llama", "hidden_size", "null", "'hidden_size' is missing")]
    [InlineData("llama", "num_key_value_heads", "3", "a divisor of num_attention_heads, which is 4")]
    [InlineData("llama", "head_dim", "5", "even number")]
    [InlineData("llama", "hidden_act", "\"relu\"", "expected silu")]
    [InlineData("llama", "rms_norm_eps", "-1", "a number above 0")]
    [InlineData("llama", "attention_bias", "1", "expected true or false")]
    [InlineData(
        "llama", "rope_scaling", "{\"type\": \"proportional\", \"factor\": 2.0}",
        "'rope_scaling.type' is the string \"proportional\"; expected default, linear, dynamic, llama3, "
        + "yarn or longrope")]
    [InlineData("llama", "rope_parameters", "{\"rope_type\": \"yarn\"}", "'rope_parameters.factor' is missing")]
    [InlineData(
        "llama", "rope_parameters", "{\"rope_type\": \"yarn\", \"factor\": 2, \"beta_fast\": 0.5}", "at least beta_slow, which is 1")]
    [InlineData("llama", "rope_parameters", "{\"full_attention\": {\"rope_type\": \"default\"}}", "'rope_parameters.full_attention'")]
    [InlineData("llama", "num_local_experts", "8", "'num_local_experts' is the number 8")]
    [InlineData("smollm3", "no_rope_layers", "[1, 0]", "one entry for each of 3 layers")]
    [InlineData("smollm3", "no_rope_layers", "[1, 2, 1]", "expected 0 or 1")]
    [InlineData("granite", "residual_multiplier", "0", "a number above 0")]
    [InlineData("llama", "rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 2}", "'rope_scaling.low_freq_factor' is missing")]
    [InlineData("llama", "partial_rotary_factor", "0.5", "expected 1")]
    [InlineData("llama", "quantization_config", "{\"bits\": 4}", "'quantization_config' is set")]
    [InlineData("llama", "eos_token_id", "[2, 99]", "expected 0 to 22")]
    [InlineData("qwen2", "layer_types", "[\"sliding_attention\"]", "", "use_sliding_window", "true", "sliding_window", "4")]
    [InlineData("phi3", "partial_rotary_factor", "0.5", "a share that turns pairs of 6 columns")]
    [InlineData("phi3-longrope", "rope_scaling", "{\"type\": \"longrope\", \"short_factor\": [1], \"long_factor\": [1]}", "3 numbers")]
    [InlineData("phi3-longrope", "rope_scaling", "{\"type\": \"longrope\", \"short_factor\": [1, 1, 1]}", "long_factor' is missing")]
    [InlineData("gpt_neox", "rotary_pct", "1.5", "a share that turns pairs of 6 columns")]
    [InlineData("gpt_neox", "hidden_act", "\"relu\"", "gelu_new, gelu_pytorch_tanh or gelu")]
    [InlineData("gemma", "hidden_activation", "\"gelu\"", "expected gelu_pytorch_tanh")]
    [InlineData("gemma2", "attn_logit_softcapping", "0", "a number above 0")]
    [InlineData("gemma3", "use_bidirectional_attention", "true", "not supported")]
    [InlineData(
        "gemma3", "rope_parameters",
        "{\"full_attention\": {\"rope_type\": \"default\"}, \"sliding_attention\": {\"rope_type\": \"linear\"}}", "expected default",
        "rope_scaling", "null")]
    [InlineData(
        "gemma3", "rope_parameters", "{\"full_attention\": {\"rope_type\": \"default\", \"partial_rotary_factor\": 0.5}}",
        "'rope_parameters.full_attention.partial_rotary_factor' is 0.5; expected 1", "rope_scaling", "null")]
    [InlineData(
        "gemma3", "rope_parameters", "{\"full_attention\": {}, \"sliding_attention\": {\"partial_rotary_factor\": 0.5}}",
        "'rope_parameters.sliding_attention.partial_rotary_factor' is the number 0.5; expected 1", "rope_scaling", "null")]
    [InlineData(
        "gemma3", "rope_parameters",
        "{\"full_attention\": {\"rope_type\": \"longrope\", \"short_factor\": [1], \"long_factor\": [1]}}",
        "'rope_parameters.full_attention.short_factor' is a list of 1", "rope_scaling", "null")]
    [InlineData("gemma3", "rope_parameters", "{\"sliding_attention\": {}}", "full_attention' is missing", "rope_scaling", "null")]
    [InlineData("gpt2", "n_head", "2", "a divisor of n_embd, which is 9")]
    [InlineData("gpt2", "activation_function", "\"relu\"", "gelu_new, gelu_pytorch_tanh or gelu")]
    [InlineData("gpt2", "scale_attn_by_inverse_layer_idx", "true", "not supported")]
    [InlineData("gpt_neo", "attention_types", "[[[\"global\"], 1]]", "num_layers, which is 2")]
    [InlineData("gpt_neo", "attention_types", "[[[\"sparse\"], 2]]", "expected global or local")]
    [InlineData("gpt_neo", "attention_types", "null", "is missing")]
    public void A_configuration_that_is_not_supported_is_named(
        string model, string key, string value, string expected, params string[] more)
    {
        JsonObject json = Folders.Config(ReferenceConfigs.All[model]);
        json[key] = JsonNode.Parse(value);
        for (int i = 0; i < more.Length; i += 2)
        {
            json[more[i]] = JsonNode.Parse(more[i + 1]);
        }

        string path = _folder.Write("config.json", json.ToJsonString());
        AssertLine(path, expected, () => ConfigFile.Read(_folder.Path));
    }

    [Fact]
    public void Newer_spellings_and_lists_of_end_tokens_are_read()
    {
        JsonObject json = Folders.Config(ReferenceConfigs.All["llama"]);
        json.Remove("rope_theta");
        json["rope_parameters"] = JsonNode.Parse("""
            {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}
            """);
        json["eos_token_id"] = new JsonArray(3, 4);
        _folder.Write("config.json", json.ToJsonString());
        _folder.Write("generation_config.json", "{\"eos_token_id\": [4, 5]}");
        ModelConfig config = ConfigFile.Read(_folder.Path);
        Assert.Equal(500_000, config.RopeTheta);
        Assert.Equal(new Llama3RopeScaling(8, 1, 4, 8192), config.RopeScaling);
        Assert.Equal([3, 4, 5], config.EosTokenIds);
    }

    [Fact]
    public void Tensors_that_do_not_fit_the_configuration_are_named()
    {
        Expect(_folder["m"], "missing tensors: model.norm.weight", t => t.Remove(Norm));
        Expect(_folder["m"], "unused tensors, for which config.json has no place: model.extra", t => t["model.extra"] = t[Norm]);
        Expect(_folder["m", "model.safetensors"], "has shape [5, 2], expected [10]", t => t[Norm] = t[Norm] with { Shape = [5, 2] });
        Expect(_folder["m", "model.safetensors"], "has dtype I32, expected F32, F16 or BF16", t => t[Norm] = t[Norm] with { Type = "I32" });
        Expect(_folder["m"], "missing tensors: model.layers.0.input_layernorm.weight, model.layers.0.self_attn.q_proj.weight", t =>
        {
            foreach (string name in t.Keys.Where(k => k.Contains("layers.0", StringComparison.Ordinal)).ToArray())
            {
                t.Remove(name);
            }
        });

        void Expect(string path, string line, Action<Dictionary<string, Folders.Raw>> change)
        {
            Dictionary<string, Folders.Raw> tensors = Folders.Tensors(ReferenceConfigs.All["llama"], "F32", 1);
            change(tensors);
            Folders.Write(_folder["m"], Folders.Config(ReferenceConfigs.All["llama"]), tensors);
            AssertLine(path, line, () => Checkpoint.Open(_folder["m"]));
        }
    }

    [Fact]
    public void A_tied_head_that_differs_from_its_embedding_is_refused()
    {
        ModelConfig config = ReferenceConfigs.All["llama-tied"];
        Dictionary<string, Folders.Raw> tensors = Folders.Tensors(config, "F32", 1);
        Folders.Raw embedding = tensors["model.embed_tokens.weight"];
        tensors["lm_head.weight"] = embedding with { Data = new byte[embedding.Data.Length] };
        Folders.Write(_folder["m"], Folders.Config(config), tensors);
        using Checkpoint checkpoint = Checkpoint.Open(_folder["m"]);
        using var memory = new HostMemory();
        AssertLine(
            _folder["m"], "lm_head.weight differs from model.embed_tokens.weight",
            () => checkpoint.LoadInto(Folders.Parameters(config, memory), memory));
    }

    [Fact]
    public void An_index_that_does_not_agree_with_its_files_is_refused()
    {
        ModelConfig config = ReferenceConfigs.All["llama"];
        Dictionary<string, Folders.Raw> tensors = Folders.Tensors(config, "F32", 1);
        Folders.Write(_folder["m"], Folders.Config(config), tensors);
        File.Move(_folder["m", "model.safetensors"], _folder["m", "a.safetensors"]);
        string index = _folder["m", "model.safetensors.index.json"];
        AssertLine(_folder["m"], "has no weights: expected model.safetensors or pytorch_model.bin", () => Checkpoint.Open(_folder["m"]));

        Dictionary<string, string> map = tensors.Keys.ToDictionary(k => k, _ => "a.safetensors");
        WriteIndex(map);
        Checkpoint.Open(_folder["m"]).Dispose();
        WriteIndex(map.Where(p => p.Key != Norm));
        AssertLine(index, "does not say that a.safetensors holds model.norm.weight, but it does", () => Checkpoint.Open(_folder["m"]));
        WriteIndex(map.Append(new("more", "a.safetensors")));
        AssertLine(index, "says that a.safetensors holds more, but it does not", () => Checkpoint.Open(_folder["m"]));
        WriteIndex(map.Append(new("more", "b.safetensors")));
        AssertLine(_folder["m", "b.safetensors"], "no such file", () => Checkpoint.Open(_folder["m"]));
        WriteIndex(map.Append(new("more", "../b.safetensors")));
        AssertLine(index, "without folders", () => Checkpoint.Open(_folder["m"]));

        void WriteIndex(IEnumerable<KeyValuePair<string, string>> entries) => File.WriteAllText(index, new JsonObject
        {
            ["weight_map"] = new JsonObject(entries.Select(p => KeyValuePair.Create(p.Key, (JsonNode?)p.Value))),
        }.ToJsonString());
    }

    [SharedDataFact]
    public void A_llama2c_file_that_is_cut_or_altered_is_refused()
    {
        byte[] good = File.ReadAllBytes(SharedData.Path("stories260K", "stories260K.bin"));
        string path = _folder["m.bin"];
        Expect("has 20 bytes", good[..20]);
        Expect($"has {good.Length - 4} bytes, expected {good.Length}", good[..^4]);
        Expect("n_heads is 7", [.. good[..12], 7, 0, 0, 0, .. good[16..]]);
        Expect("is a llama2.c file of version 1", [.. "24ka"u8, 1, 0, 0, 0, .. good[8..]]);
        AssertLine(_folder["none"], "no such model", () => Checkpoint.Open(_folder["none"]));

        void Expect(string line, byte[] content)
        {
            File.WriteAllBytes(path, content);
            AssertLine(path, line, () => Checkpoint.Open(path));
        }
    }

    [Fact]
    public void Inspection_reports_instead_of_throwing()
    {
        ModelConfig config = ReferenceConfigs.All["gpt2"];
        Folders.Write(_folder["m"], Folders.Config(config), Folders.Tensors(config, "BF16", 1));
        ModelInspection good = ModelInspector.Inspect(_folder["m"]);
        Assert.Equal(ReferenceConfigs.Parameters(config).Sum(p => p.Shape.Count), good.Parameters);
        Assert.Equal(good.Parameters * 2, good.StoredBytes);
        Assert.Equal(StoredType.BF16, Assert.Single(good.Types).Type);
        Assert.Contains(
            "\"types\":[{\"type\":\"BF16\",\"tensors\":", JsonSerializer.Serialize(good, Json.Compact), StringComparison.Ordinal);
        Assert.Contains("\"config\":{\"family\":\"gpt2\",", JsonSerializer.Serialize(good, Json.Compact), StringComparison.Ordinal);
        Assert.Contains("no tokenizer", Assert.Single(good.Unsupported), StringComparison.Ordinal);
        Assert.False(good.ChatTemplate);

        string template = _folder.Write("m/chat_template.jinja", "{{ bos_token }}");
        Assert.True(ModelInspector.Inspect(_folder["m"]).ChatTemplate);
        File.WriteAllText(template, "{% for x %}");
        Assert.Contains(ModelInspector.Inspect(_folder["m"]).Unsupported, line => line.StartsWith(template, StringComparison.Ordinal));
        File.Delete(template);

        JsonObject json = Folders.Config(config);
        json["model_type"] = "mamba";
        File.WriteAllText(_folder["m", "config.json"], json.ToJsonString());
        ModelInspection bad = ModelInspector.Inspect(_folder["m"]);
        Assert.Null(bad.Config);
        Assert.Contains("mamba", bad.Unsupported[0], StringComparison.Ordinal);
        Assert.Contains("no such model", Assert.Single(ModelInspector.Inspect(_folder["none"]).Unsupported), StringComparison.Ordinal);
    }

    private static void AssertLine(string path, string expected, Action action)
    {
        UserException error = Assert.Throws<UserException>(action);
        Assert.StartsWith(path, error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }
}
