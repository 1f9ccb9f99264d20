using System.Text.Json.Nodes;
using Forgetting.Backends.Cpu;
using Forgetting.HuggingFace;
using Forgetting.Models;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.HuggingFace;

public sealed class PeftAdapterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly CpuBackend _backend = new(1);

    public void Dispose()
    {
        _folder.Dispose();
        _backend.Dispose();
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("llama-tied")]
    [InlineData("qwen2")]
    [InlineData("gpt2")]
    [InlineData("gpt_neo")]
    public void An_adapter_goes_out_and_in_unchanged(string model)
    {
        ModelConfig config = ReferenceConfigs.All[model];
        string[] whole = config.TiedHead ? [config.LayerNorm ? "wte" : "embed_tokens"] : ["embed_tokens", "lm_head"];
        var lora = new LoraConfig
        {
            Rank = 3, Alpha = 6, Dropout = 0.25, RankStabilized = true, ModulesToSave = whole,
            RankPattern = new Dictionary<string, int> { [@"(h|layers)\.1\..*"] = 2, ["c_proj"] = 1 },
            AlphaPattern = new Dictionary<string, double> { ["o_proj"] = 1.5 },
        };
        using var first = new Decoder(config, _backend, lora, seed: 1);
        Randomize(first, 2);
        PeftAdapter.Write(_folder["adapter"], first, "some/base");

        using PeftAdapter adapter = PeftAdapter.Open(_folder["adapter"]);
        using var second = new Decoder(config, _backend, adapter.Config, seed: 3);
        adapter.LoadInto(second);
        Assert.Equal(first.TrainableParameters.Select(p => p.Name), second.TrainableParameters.Select(p => p.Name));
        Assert.All(first.TrainableParameters.Zip(second.TrainableParameters), p => Assert.True(
            p.First.Master.AsSpan<float>().SequenceEqual(p.Second.Master.AsSpan<float>()), p.First.Name));

        PeftAdapter.Write(_folder["again"], second, "some/base");
        Assert.Equal(File.ReadAllBytes(_folder["adapter", "adapter_model.safetensors"]), File.ReadAllBytes(_folder["again", "adapter_model.safetensors"]));
        JsonNode json = JsonNode.Parse(File.ReadAllText(_folder["adapter", "adapter_config.json"]))!;
        Assert.Equal("LORA", (string?)json["peft_type"]);
        Assert.Equal("CAUSAL_LM", (string?)json["task_type"]);
        Assert.Equal(config.Family == ModelFamily.Gpt2, (bool)json["fan_in_fan_out"]!);
        Assert.Equal(3, (int)json["r"]!);
        Assert.Equal("some/base", (string?)json["base_model_name_or_path"]);
        Assert.Equal(whole, json["modules_to_save"]!.AsArray().Select(n => (string)n!));
    }

    [Fact]
    public void Ranks_and_scales_follow_the_patterns_as_in_peft()
    {
        var lora = new LoraConfig
        {
            Rank = 8, Alpha = 16,
            RankPattern = new Dictionary<string, int> { [@"layers\.1\..*_proj"] = 4, ["proj"] = 1, ["v_proj"] = 2 },
            AlphaPattern = new Dictionary<string, double> { ["self_attn.v_proj"] = 3 },
        };

        // A pattern matches whole names only ("proj" is none of these), the first that fits counts.
        Assert.Equal(8, lora.RankOf("model.layers.0.self_attn.q_proj"));
        Assert.Equal(2, lora.RankOf("model.layers.0.self_attn.v_proj"));
        Assert.Equal(4, lora.RankOf("model.layers.1.self_attn.v_proj"));
        Assert.Equal(8, lora.RankOf("model.layers.11.self_attn.q_proj"));
        Assert.Equal(2, lora.ScaleOf("model.layers.0.self_attn.q_proj"));
        Assert.Equal(1.5, lora.ScaleOf("model.layers.0.self_attn.v_proj"));
        Assert.Equal(3 / Math.Sqrt(4), (lora with { RankStabilized = true }).ScaleOf("model.layers.1.self_attn.v_proj"), 1e-12);
    }

    [Theory]
    [InlineData("[\"q_proj\", \"mlp.up_proj\"]", "null", "model.layers.0.self_attn.q_proj model.layers.0.mlp.up_proj model.layers.1.self_attn.q_proj model.layers.1.mlp.up_proj")]
    [InlineData("\".*\\\\.1\\\\..*(q|v)_proj\"", "null", "model.layers.1.self_attn.q_proj model.layers.1.self_attn.v_proj")]
    [InlineData("[\"q_proj\"]", "[1]", "model.layers.1.self_attn.q_proj")]
    [InlineData("[\"q_proj\"]", "0", "model.layers.0.self_attn.q_proj")]
    public void Targets_are_lists_regular_expressions_and_blocks(string targets, string layers, string expected)
    {
        WriteConfig(json =>
        {
            json["target_modules"] = JsonNode.Parse(targets);
            json["layers_to_transform"] = JsonNode.Parse(layers);
        });
        LoraConfig lora = PeftConfig.Read(_folder.Path);
        Assert.Equal(expected.Split(' '), Decoder.Describe(ReferenceConfigs.All["llama"], lora).Adapter
            .Where(p => p.Name.Contains("lora_A", StringComparison.Ordinal)).Select(p => p.Name["base_model.model.".Length..^".lora_A.weight".Length]));
    }

    [Fact]
    public void All_linear_means_every_layer_of_every_block()
    {
        WriteConfig(json => json["target_modules"] = "all-linear");
        Assert.Equal(2 * 7 * 2, Decoder.Describe(ReferenceConfigs.All["llama"], PeftConfig.Read(_folder.Path)).Adapter.Count);
    }

    [Theory]
    [InlineData("peft_type", "\"IA3\"", "LORA")]
    [InlineData("bias", "\"all\"", "none")]
    [InlineData("use_dora", "true", "null")]
    [InlineData("r", "0", "1 to 65536")]
    [InlineData("r", "\"8\"", "an integer")]
    [InlineData("lora_alpha", "-1", "above 0")]
    [InlineData("lora_dropout", "1.5", "below 1")]
    [InlineData("target_modules", "[]", "names of modules")]
    [InlineData("target_modules", "null", "missing")]
    [InlineData("init_lora_weights", "\"pissa_niter_4\"", "ordinary")]
    [InlineData("rank_pattern", "{\"q_proj\": \"x\"}", "an integer")]
    public void A_bad_configuration_is_one_line(string key, string value, string expected)
    {
        WriteConfig(json => json[key] = JsonNode.Parse(value));
        UserException error = Assert.Throws<UserException>(() => PeftConfig.Read(_folder.Path));
        Assert.StartsWith(_folder["adapter_config.json"], error.Message, StringComparison.Ordinal);
        Assert.Contains(key, error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Theory]
    [InlineData("(", "not a regular expression")]
    [InlineData("nothing", "matches no linear layer")]
    public void A_bad_target_pattern_is_one_line(string pattern, string expected)
    {
        var lora = new LoraConfig { Rank = 1, Alpha = 1, TargetPattern = pattern };
        UserException error = Assert.Throws<UserException>(() => Decoder.Describe(ReferenceConfigs.All["llama"], lora));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_key_that_fits_nothing_a_missing_one_and_a_wrong_shape_are_errors_and_load_nothing()
    {
        using var decoder = new Decoder(ReferenceConfigs.All["llama"], _backend, new LoraConfig { Rank = 2, Alpha = 4, Targets = ["q_proj"] }, seed: 1);
        Randomize(decoder, 1);
        float before = decoder.AdapterParameters[1].Value.AsSpan<float>()[0];
        PeftAdapter.Write(_folder["adapter"], decoder, "base");
        string weights = _folder["adapter", "adapter_model.safetensors"];
        Dictionary<string, Folders.Raw> good = Folders.ReadTensors(weights);
        string name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";

        Expect("fit nothing", "lm_head.lora_A.weight", t => t["base_model.model.lm_head.lora_A.weight"] = t[name]);
        Expect("missing", name, t => t.Remove(name));
        Expect("shape [10, 2], expected [2, 10]", name, t => t[name] = t[name] with { Shape = [10, 2] });
        Expect("dtype I32", name, t => t[name] = t[name] with { Type = "I32" });
        Assert.Equal(before, decoder.AdapterParameters[1].Value.AsSpan<float>()[0]);

        void Expect(string what, string which, Action<Dictionary<string, Folders.Raw>> change)
        {
            Dictionary<string, Folders.Raw> tensors = new(good);
            change(tensors);
            Folders.WriteTensors(weights, tensors);
            using PeftAdapter adapter = PeftAdapter.Open(_folder["adapter"]);
            UserException error = Assert.Throws<UserException>(() => adapter.LoadInto(decoder));
            Assert.Contains(what, error.Message, StringComparison.Ordinal);
            Assert.Contains(which, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_tied_head_saved_beside_its_embedding_must_agree_with_it()
    {
        var lora = new LoraConfig { Rank = 2, Alpha = 4, Targets = ["q_proj"], ModulesToSave = ["embed_tokens", "lm_head"] };
        using var decoder = new Decoder(ReferenceConfigs.All["llama-tied"], _backend, lora, seed: 1);
        Randomize(decoder, 1);
        PeftAdapter.Write(_folder["adapter"], decoder, "base");
        string weights = _folder["adapter", "adapter_model.safetensors"];
        Dictionary<string, Folders.Raw> tensors = Folders.ReadTensors(weights);
        Folders.Raw embedding = tensors["base_model.model.model.embed_tokens.weight"];
        tensors["base_model.model.lm_head.weight"] = embedding;
        Folders.WriteTensors(weights, tensors);
        using (PeftAdapter adapter = PeftAdapter.Open(_folder["adapter"]))
        {
            adapter.LoadInto(decoder);
        }

        tensors["base_model.model.lm_head.weight"] = embedding with { Data = new byte[embedding.Data.Length] };
        Folders.WriteTensors(weights, tensors);
        using PeftAdapter different = PeftAdapter.Open(_folder["adapter"]);
        Assert.Contains("ties them", Assert.Throws<UserException>(() => different.LoadInto(decoder)).Message, StringComparison.Ordinal);
    }

    private void WriteConfig(Action<JsonObject> change)
    {
        var json = new JsonObject { ["peft_type"] = "LORA", ["r"] = 8, ["lora_alpha"] = 16, ["target_modules"] = new JsonArray("q_proj") };
        change(json);
        File.WriteAllText(_folder["adapter_config.json"], json.ToJsonString());
    }

    private static void Randomize(Decoder decoder, int seed)
    {
        var random = new Random(seed);
        foreach (Parameter parameter in decoder.TrainableParameters)
        {
            foreach (ref float value in parameter.Master.AsSpan<float>())
            {
                value = random.NextSingle() - 0.5f;
            }
        }
    }
}
