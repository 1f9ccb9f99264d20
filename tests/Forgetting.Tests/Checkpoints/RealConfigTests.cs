using System.Text.Json.Nodes;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Forgetting.Tests.Models;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

/// <summary>
/// Configurations that were not looked at while the families were written: each is computed as an independent reader of the file and an
/// independent decoder in double precision compute it, or it is refused in one line that names what is not supported.
/// </summary>
public sealed class RealConfigTests : IDisposable
{
    private const double Tolerance = 5e-5;

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Read => [.. RealConfigs.All.Where(config => config.Refusal == "").Select(config => config.Name)];

    public static TheoryData<string> Refused => [.. RealConfigs.All.Where(config => config.Refusal != "").Select(config => config.Name)];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Read))]
    public void The_whole_file_says_what_an_independent_reader_finds(string name)
    {
        RealConfig real = RealConfigs.All.Single(config => config.Name == name);
        ModelConfig expected = ReferenceConfigReader.Read(real.ToJson());
        _folder.Write("config.json", real.ToJson().ToJsonString());
        ModelConfig read = ConfigFile.Read(_folder.Path);
        Assert.Equal(Describe(expected), Describe(read));

        long parameters = ReferenceConfigs.Parameters(expected).Sum(parameter => parameter.Shape.Count);
        Assert.Equal(parameters, Decoder.Describe(read).Base.Sum(parameter => parameter.Shape.Count));
        if (real.Parameters > 0)
            Assert.Equal(real.Parameters, parameters);
    }

    [Theory]
    [MemberData(nameof(Read))]
    public void With_small_sizes_and_random_weights_it_is_computed_rightly(string name)
    {
        JsonObject json = Small(RealConfigs.All.Single(config => config.Name == name).ToJson());
        ModelConfig config = ReferenceConfigReader.Read(json);
        Dictionary<string, double[]> weights = ReferenceConfigs.RandomWeights(config, seed: 1);
        Folders.Write(
            _folder.Path, json, ReferenceConfigs.Parameters(config).ToDictionary(p => p.Name, p => Stored(p.Shape, weights[p.Name])));

        using var backend = new CpuBackend();
        using Checkpoint file = Checkpoint.Open(_folder.Path);
        using var decoder = new Decoder(file.Config, backend, training: false);
        file.LoadInto(decoder.BaseParameters, backend);
        var reference = new ReferenceDecoder(config, weights);
        var random = new Random(2);
        foreach (int length in new[] { 1, 13, 40 })
        {
            int[] ids = [.. Enumerable.Range(0, length).Select(_ => random.Next(config.VocabularySize))];
            double[] expected = [.. reference.Logits(ids).SelectMany(row => row)];
            float[] logits = Logits(decoder, ids);
            Assert.Equal(expected.Length, logits.Length);
            Assert.All(expected.Zip(logits), (pair, i) => Assert.True(
                Math.Abs(pair.First - pair.Second) < Tolerance * (1 + Math.Abs(pair.First)),
                $"{length}, {i}: {pair.First}, {pair.Second}"));
        }
    }

    [Fact]
    public void Every_family_is_among_them_and_has_its_row_of_the_page()
    {
        string[] families = [.. ModelFamilies.All.Select(family => family.ModelType).Order(StringComparer.Ordinal)];
        Assert.Equal(families, RealConfigs.All.Where(config => config.Refusal == "")
            .Select(config => (string)config.ToJson()["model_type"]!).Distinct().Order(StringComparer.Ordinal));

        int read = RealConfigs.All.Count(config => config.Refusal == "");
        string page = File.ReadAllText(Repository.Path("docs", "models.md"));
        string[] table = [.. page[page.IndexOf("| | config |", StringComparison.Ordinal)..].Split('\n').TakeWhile(line => line != "")];
        Assert.Equal(families, table.Skip(2).Select(line => line.Split('|')[1].Trim()).Order(StringComparer.Ordinal));
        Assert.Contains(
            $"{RealConfigs.All.Length} configurations as public repositories hold them, with keys that only such files have: "
            + $"{read} are read, as an", page, StringComparison.Ordinal);
        Assert.Contains($"; {RealConfigs.All.Length - read} are refused by the name of", page, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Refused))]
    public void What_is_not_supported_is_refused_by_name(string name)
    {
        RealConfig real = RealConfigs.All.Single(config => config.Name == name);
        _folder.Write("config.json", real.ToJson().ToJsonString());
        UserException error = Assert.Throws<UserException>(() => ConfigFile.Read(_folder.Path));
        Assert.StartsWith(_folder["config.json"], error.Message, StringComparison.Ordinal);
        Assert.Contains(real.Refusal, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    // Sizes alone are made small, so that windows, original contexts and patterns of layers are met by texts of 40 tokens.
    private static JsonObject Small(JsonObject json)
    {
        string type = (string)json["model_type"]!;
        bool gpt = type == "gpt2";
        string hiddenKey = gpt ? "n_embd" : "hidden_size";
        string headsKey = gpt ? "n_head" : type == "gpt_neo" ? "num_heads" : "num_attention_heads";
        string layersKey = gpt ? "n_layer" : type == "gpt_neo" ? "num_layers" : "num_hidden_layers";
        int groups = (int)json[headsKey]! / ((int?)json["num_key_value_heads"] ?? (int)json[headsKey]!), layers = type switch
        {
            "gemma3_text" => 7,
            "smollm3" => 5,
            _ => 2,
        };
        bool owned = json.ContainsKey("head_dim") || type.StartsWith("gemma", StringComparison.Ordinal);
        int heads = groups == 1 ? 2 : 4, oldLayers = (int)json[layersKey]!;
        json[headsKey] = heads;
        if (json.ContainsKey("num_key_value_heads"))
            json["num_key_value_heads"] = groups == 1 ? heads : (int)json["num_key_value_heads"]! == 1 ? 1 : 2;

        json[hiddenKey] = owned ? 20 : heads * 8;
        if (owned)
            json["head_dim"] = 8;

        json[layersKey] = layers;
        json["vocab_size"] = 37;
        json.Remove("bos_token_id");
        json.Remove("eos_token_id");
        if (json["intermediate_size"] is not null)
            json["intermediate_size"] = 26;

        foreach (string key in new[] { "sliding_window", "window_size" })
        {
            if (json[key] is not null)
                json[key] = 6;
        }

        if (json["max_window_layers"] is { } first)
            json["max_window_layers"] = (int)first < oldLayers ? 1 : layers;

        if (json["attention_types"] is not null)
            json["attention_types"] = JsonNode.Parse("""[[["global","local"],1]]""");

        foreach (string key in new[] { "layer_types", "no_rope_layers", "attention_layers" })
        {
            if (json[key] is JsonArray list)
                json[key] = new JsonArray([.. list.Take(layers).Select(item => item!.DeepClone())]);
        }

        if ((json["rope_scaling"] ?? json["rope_parameters"]) is JsonObject rope)
        {
            SmallContext(rope);
            foreach (string key in new[] { "short_factor", "long_factor" })
            {
                // Of 48 pairs those that lie as far apart as pairs of smaller heads do.
                int pairs = (int)(4 * ((double?)json["partial_rotary_factor"] ?? 1));
                if (rope[key] is JsonArray factors)
                    rope[key] = new JsonArray([.. Enumerable.Range(0, pairs).Select(i => factors[i * factors.Count / pairs]!.DeepClone())]);
            }
        }

        SmallContext(json);
        return (JsonObject)JsonNode.Parse(json.ToJsonString())!;

        static void SmallContext(JsonObject json)
        {
            if (json["original_max_position_embeddings"] is { } original)
            {
                if (json["max_position_embeddings"] is { } whole)
                    json["max_position_embeddings"] = Math.Max(40, 20 * ((int)whole / (int)original));

                json["original_max_position_embeddings"] = 20;
            }
        }
    }

    private static Folders.Raw Stored(Shape shape, double[] values) => new(
        "F32", shape.Rows == 1 ? [shape.Columns] : [shape.Rows, shape.Columns],
        [.. values.SelectMany(value => BitConverter.GetBytes((float)value))]);

    private static float[] Logits(Decoder decoder, int[] ids)
    {
        using var cache = new KeyValueCache(decoder.Config, decoder.Backend, ids.Length);
        int[] positions = [.. Enumerable.Range(0, ids.Length)];
        cache.Place(positions, [0], [ids.Length]);
        Tensor logits = decoder.Logits(ids, positions, [0, ids.Length], positions, cache);
        var values = new float[logits.Count];
        decoder.Backend.Download<float>(logits, values);
        return values;
    }

    // Lists are compared by reference in records; a list of none is as good as a list of no windows.
    private static string Describe(ModelConfig config)
    {
        int[] windows = config.Windows.All(window => window == 0) ? [] : [.. config.Windows];
        LongRopeScaling? rope = config.RopeScaling as LongRopeScaling;
        ModelConfig plain = config with { Windows = [], RotaryLayers = [], BosTokenId = null, EosTokenIds = [], RopeScaling = null };
        string scaling = rope is null
            ? $"{config.RopeScaling}"
            : $"{string.Join(' ', rope.ShortFactors)}, {string.Join(' ', rope.LongFactors)}, "
                + $"{rope with { ShortFactors = [], LongFactors = [] }}";
        return $"{plain} {scaling} {string.Join(' ', windows)} {string.Join(' ', config.RotaryLayers)}";
    }
}
