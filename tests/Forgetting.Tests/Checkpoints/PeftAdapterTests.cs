using System.Text.Json.Nodes;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

public sealed class PeftAdapterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly CpuBackend _backend = new(1);

    public void Dispose()
    {
        _folder.Dispose();
        _backend.Dispose();
    }

    public static TheoryData<string, bool> Families
    {
        get
        {
            var data = new TheoryData<string, bool> { { "llama-tied", false } };
            foreach (string family in ReferenceConfigs.OfFamilies)
            {
                data.Add(family, false);
                data.Add(family, true);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void An_adapter_goes_out_and_in_unchanged(string model, bool dora)
    {
        ModelConfig config = ReferenceConfigs.All[model];
        ReferenceNames names = ReferenceNames.Of(config);
        string embedding = names.Embedding.Split('.')[^1];
        string[] whole = config.TiedHead ? [embedding] : [embedding, names.Head];
        var lora = new LoraConfig
        {
            Rank = 3, Alpha = 6, Dropout = 0.25, RankStabilized = true, Dora = dora, ModulesToSave = whole,
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
        Assert.Equal(
            File.ReadAllBytes(_folder["adapter", "adapter_model.safetensors"]),
            File.ReadAllBytes(_folder["again", "adapter_model.safetensors"]));
        JsonNode json = JsonNode.Parse(File.ReadAllText(_folder["adapter", "adapter_config.json"]))!;
        Assert.Equal("LORA", (string?)json["peft_type"]);
        Assert.Equal("CAUSAL_LM", (string?)json["task_type"]);
        Assert.Equal(config.Family == ModelFamilies.Gpt2, (bool)json["fan_in_fan_out"]!);
        Assert.Equal(3, (int)json["r"]!);
        Assert.Equal((true, dora), ((bool)json["use_rslora"]!, (bool)json["use_dora"]!));
        Assert.Equal("some/base", (string?)json["base_model_name_or_path"]);
        Assert.Equal(whole, json["modules_to_save"]!.AsArray().Select(n => (string)n!));
    }

    [Fact]
    public void An_adapter_that_PyTorch_pickled_is_read()
    {
        ModelConfig config = ReferenceConfigs.All["llama"];
        using var first = new Decoder(config, _backend, new LoraConfig { Rank = 3, Alpha = 6 }, seed: 1);
        Randomize(first, 2);
        PeftAdapter.Write(_folder["adapter"], first, "some/base");
        TorchWriter.Write(_folder["adapter", "adapter_model.bin"], Folders.ReadTensors(_folder["adapter", "adapter_model.safetensors"]));
        File.Delete(_folder["adapter", "adapter_model.safetensors"]);
        using PeftAdapter adapter = PeftAdapter.Open(_folder["adapter"]);
        using var second = new Decoder(config, _backend, adapter.Config, seed: 3);
        adapter.LoadInto(second);
        Assert.All(first.AdapterParameters.Zip(second.AdapterParameters), p => Assert.True(
            p.First.Master.AsSpan<float>().SequenceEqual(p.Second.Master.AsSpan<float>()), p.First.Name));
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
    [InlineData(
        "[\"q_proj\", \"mlp.up_proj\"]", "null",
        "model.layers.0.self_attn.q_proj model.layers.0.mlp.up_proj model.layers.1.self_attn.q_proj model.layers.1.mlp.up_proj")]
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
            .Where(p => p.Name.Contains("lora_A", StringComparison.Ordinal))
            .Select(p => p.Name["base_model.model.".Length..^".lora_A.weight".Length]));
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
    [InlineData("use_dora", "1", "true or false")]
    [InlineData("r", "0", "1 to 65536")]
    [InlineData("r", "\"8\"", "an integer")]
    [InlineData("lora_alpha", "-1", "above 0")]
    [InlineData("lora_dropout", "1.5", "below 1")]
    [InlineData("target_modules", "[]", "names of modules")]
    [InlineData("target_modules", "null", "missing")]
    [InlineData("init_lora_weights", "\"pissa_niter_4\"", "ordinary")]
    [InlineData("init_lora_weights", "\"PiSSA\"", "ordinary")]
    [InlineData("init_lora_weights", "\"OLoRA\"", "ordinary")]
    [InlineData("init_lora_weights", "\"olora\"", "ordinary")]
    [InlineData("ensure_weight_tying", "true", "null")]
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
        using var decoder =
            new Decoder(ReferenceConfigs.All["llama"], _backend, new LoraConfig { Rank = 2, Alpha = 4, Targets = ["q_proj"] }, seed: 1);
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

    // PEFT saves both with an adapter of its own accord, though neither was trained.
    [Fact]
    public void A_tied_head_saved_beside_its_embedding_must_agree_with_it()
    {
        using var decoder = new Decoder(
            ReferenceConfigs.All["llama-tied"], _backend, new LoraConfig { Rank = 2, Alpha = 4, Targets = ["q_proj"] }, seed: 1);
        PeftAdapter.Write(_folder["adapter"], decoder, "base");
        string weights = _folder["adapter", "adapter_model.safetensors"];
        Dictionary<string, Folders.Raw> tensors = Folders.ReadTensors(weights);
        float[] values = [.. Enumerable.Range(0, 23 * 10).Select(i => i * 0.5f)];
        var embedding = new Folders.Raw("F32", [23, 10], System.Runtime.InteropServices.MemoryMarshal.AsBytes(values.AsSpan()).ToArray());
        tensors["base_model.model.model.embed_tokens.weight"] = tensors["base_model.model.lm_head.weight"] = embedding;
        Folders.WriteTensors(weights, tensors);
        using (PeftAdapter adapter = PeftAdapter.Open(_folder["adapter"]))
        using (var second = new Decoder(ReferenceConfigs.All["llama-tied"], _backend, adapter.Config))
        {
            adapter.LoadInto(second);
            Assert.Equal(values, second.BaseParameters[0].Value.AsSpan<float>().ToArray());

            // They are not trained, but go with the adapter when it is written again.
            Assert.Equal(2 * 2, second.TrainableParameters.Count);
            PeftAdapter.Write(_folder["again"], second, "base");
            Assert.Equal(
                embedding.Data,
                Folders.ReadTensors(_folder["again", "adapter_model.safetensors"])["base_model.model.model.embed_tokens.weight"].Data);
        }

        tensors["base_model.model.lm_head.weight"] = embedding with { Data = new byte[embedding.Data.Length] };
        Folders.WriteTensors(weights, tensors);
        using PeftAdapter different = PeftAdapter.Open(_folder["adapter"]);
        using var third = new Decoder(ReferenceConfigs.All["llama-tied"], _backend, different.Config);
        Assert.Contains("ties them", Assert.Throws<UserException>(() => different.LoadInto(third)).Message, StringComparison.Ordinal);
    }

    // PEFT's names and shapes: of an embedding lora_embedding_A [r, V] and lora_embedding_B [C, r], and base_layer
    // for the weight of an adapted layer.
    [Fact]
    public void Adapted_embeddings_and_heads_have_pefts_names_and_layout()
    {
        var lora = new LoraConfig { Rank = 2, Alpha = 4, Targets = ["embed_tokens", "lm_head"] };
        using var decoder = new Decoder(ReferenceConfigs.All["llama-tied"], _backend, lora, seed: 1);
        Randomize(decoder, 1);
        PeftAdapter.Write(_folder["adapter"], decoder, "base");
        Dictionary<string, Folders.Raw> tensors = Folders.ReadTensors(_folder["adapter", "adapter_model.safetensors"]);
        Assert.Equal(
            ["lm_head.lora_A.weight [2, 10]", "lm_head.lora_B.weight [23, 2]", "model.embed_tokens.lora_embedding_A [2, 23]",
                "model.embed_tokens.lora_embedding_B [10, 2]"],
            tensors.Select(t => $"{t.Key["base_model.model.".Length..]} [{string.Join(", ", t.Value.Shape)}]")
                .Order(StringComparer.Ordinal));
        Parameter a = decoder.AdapterParameters[0]; // [V, r]
        Assert.Equal(a.Value.AsSpan<float>()[(7 * 2) + 1], Folders.Values(tensors[a.Name])[(1 * 23) + 7]);

        // What PEFT saves besides of its own accord.
        Folders.Raw table = new("F32", [23, 10], new byte[4 * 230]),
            head = new("F32", [23, 10], [.. Enumerable.Repeat(new byte[] { 0, 0, 128, 63 }, 230).SelectMany(one => one)]);
        tensors["base_model.model.model.embed_tokens.base_layer.weight"] = table;
        tensors["base_model.model.lm_head.base_layer.weight"] = head;
        Folders.WriteTensors(_folder["adapter", "adapter_model.safetensors"], tensors);
        using PeftAdapter adapter = PeftAdapter.Open(_folder["adapter"]);
        using var second = new Decoder(ReferenceConfigs.All["llama-tied"], _backend, adapter.Config, seed: 3);
        adapter.LoadInto(second);
        Assert.Equal(new float[230], second.BaseParameters[0].Value.AsSpan<float>().ToArray());
        Assert.All(second.HeadWeight.Value.AsSpan<float>().ToArray(), value => Assert.Equal(1, value));
        PeftAdapter.Write(_folder["again"], second, "base");
        Folders.AssertSame(tensors, Folders.ReadTensors(_folder["again", "adapter_model.safetensors"]));
    }

    [Theory]
    [InlineData("embed_tokens")]
    [InlineData("lm_head")]
    [InlineData("embed_tokens lm_head")]
    public void Copies_of_a_tied_pair_are_each_their_own_and_the_other_stays_the_base(string saved)
    {
        ModelConfig config = ReferenceConfigs.All["llama-tied"];
        Dictionary<string, Folders.Raw> source = Folders.Tensors(config, "F32", 1);
        foreach ((string name, double[] values) in ReferenceConfigs.RandomWeights(config, 1))
        {
            source[name] = source[name] with
            {
                Data = System.Runtime.InteropServices.MemoryMarshal.AsBytes(Array.ConvertAll(values, v => (float)v).AsSpan()).ToArray(),
            };
        }

        Folders.Write(_folder["base"], Folders.Config(config), source);
        using Checkpoint checkpoint = Checkpoint.Open(_folder["base"]);
        using var decoder = new Decoder(
            config, _backend, new LoraConfig { Rank = 2, Alpha = 4, Targets = ["q_proj"], ModulesToSave = saved.Split(' ') }, seed: 1);
        checkpoint.LoadInto(decoder.BaseParameters, _backend);
        Randomize(decoder, 1);
        PeftAdapter.Write(_folder["adapter"], decoder, "base");
        string[] written = [.. Folders.ReadTensors(_folder["adapter", "adapter_model.safetensors"]).Keys
            .Where(k => !k.Contains("lora", StringComparison.Ordinal))];
        Assert.Equal(saved.Split(' '), written.Select(k => k.Split('.')[^2]).Order(StringComparer.Ordinal));

        // Merged, the checkpoint says that they are apart, and the end that was not copied is the base's to the bit.
        AdapterMerge.Write(_folder["merged"], decoder, checkpoint);
        Dictionary<string, Folders.Raw> merged = Folders.ReadTensors(_folder["merged", "model.safetensors"]);
        Folders.Raw before = source["model.embed_tokens.weight"];
        foreach ((string end, string name) in new[] { ("embed_tokens", "model.embed_tokens.weight"), ("lm_head", "lm_head.weight") })
        {
            Assert.Equal(!saved.Split(' ').Contains(end), before.Data.AsSpan().SequenceEqual(merged[name].Data));
        }

        using Checkpoint again = Checkpoint.Open(_folder["merged"]);
        Assert.False(again.Config.TiedHead);
        using var plain = new Decoder(again.Config, _backend, training: false);
        again.LoadInto(plain.BaseParameters, _backend);
        var batch = Models.Batches.Of(Models.Batches.Random(config.VocabularySize, 3, 7, 9));
        float[] expected = new float[batch.HeadRows.Length], found = new float[batch.HeadRows.Length];
        decoder.Forward(batch, expected);
        plain.Forward(batch, found);
        Assert.All(expected.Zip(found), p => Assert.Equal(p.First, p.Second, 1e-5f));
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
