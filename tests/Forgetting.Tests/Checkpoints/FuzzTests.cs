using System.Text;
using System.Text.RegularExpressions;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

/// <summary>Damaged files end in one clear line or in a correct load, and allocate little on the way.</summary>
public sealed class FuzzTests : IDisposable
{
    private const int Cases = 500;
    private const long MaxAllocated = 256L << 20;

    private static readonly string[] s_numbers =
        ["0", "-1", "1", "3", "2147483648", "9223372036854775807", "1e400", "0.5", "null", "true", "\"x\"", "[]", "{}"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string> Families => [.. ReferenceConfigs.OfFamilies, "qwen2-window"];

    [Theory]
    [MemberData(nameof(Families))]
    public void Config_files(string model)
    {
        string config = Prepare(model);
        var random = new Random(1);
        int loaded = 0;
        for (int i = 0; i < Cases; i++)
        {
            File.WriteAllBytes(_folder["m", "config.json"], Mutate(config, random));
            loaded += LoadsCorrectly(model, i) ? 1 : 0;
        }

        // Neither all nor nothing: the damage must reach both sides.
        Assert.InRange(loaded, 1, Cases - 1);
    }

    [Theory]
    [InlineData("llama", 5)]
    [InlineData("gpt2", 6)]
    public void Safetensors_headers(string model, int seed)
    {
        Prepare(model);
        string path = _folder["m", "model.safetensors"];
        byte[] file = File.ReadAllBytes(path);
        int length = (int)BitConverter.ToInt64(file);
        string header = Encoding.UTF8.GetString(file, 8, length);
        var random = new Random(seed);
        int loaded = 0;
        for (int i = 0; i < Cases; i++)
        {
            byte[] mutated = Mutate(header, random);
            long claimed = random.Next(8) == 0 ? random.NextInt64() >> random.Next(63) : mutated.Length;
            byte[] data = file[(8 + length)..];
            File.WriteAllBytes(
                path, [.. BitConverter.GetBytes(claimed), .. mutated, .. random.Next(8) == 0 ? data[..random.Next(data.Length)] : data]);
            loaded += LoadsCorrectly(model, i) ? 1 : 0;
        }

        Assert.InRange(loaded, 1, Cases - 1);
    }

    private string Prepare(string model)
    {
        ModelConfig config = ReferenceConfigs.All[model];
        Folders.Write(_folder["m"], Folders.Config(config), Folders.Tensors(config, "F32", 7));
        return File.ReadAllText(_folder["m", "config.json"]);
    }

    private bool LoadsCorrectly(string model, int number)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            using Checkpoint checkpoint = Checkpoint.Open(_folder["m"]);
            using var memory = new HostMemory();
            List<Parameter> parameters =
                [.. Forgetting.Models.Decoder.Describe(checkpoint.Config).Base
                    .Select(p => memory.Add(p.Name, p.Kind, p.Shape, Forgetting.Tensors.DType.Float32))];
            checkpoint.LoadInto(parameters, memory);
            Assert.Equal(
                ReferenceConfigs.Parameters(ReferenceConfigs.All[model]).Sum(p => p.Shape.Count), parameters.Sum(p => p.Shape.Count));
            return true;
        }
        catch (UserException error)
        {
            Assert.DoesNotContain('\n', error.Message);
            return false;
        }
        finally
        {
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(allocated < MaxAllocated, $"case {number} allocated {allocated} bytes");
        }
    }

    private static byte[] Mutate(string text, Random random)
    {
        if (random.Next(10) == 0)
            return Encoding.UTF8.GetBytes(text);

        // Half of the cases stay JSON with another number somewhere, the others are damaged byte by byte.
        if (random.Next(2) == 0)
        {
            MatchCollection numbers = Regex.Matches(text, @"(?<=[:,\[])-?[0-9.eE+-]+|true|false");
            Match match = numbers[random.Next(numbers.Count)];
            return Encoding.UTF8.GetBytes(
                text[..match.Index] + s_numbers[random.Next(s_numbers.Length)] + text[(match.Index + match.Length)..]);
        }

        List<byte> bytes = [.. Encoding.UTF8.GetBytes(text)];
        for (int i = random.Next(1, 4); i > 0; i--)
        {
            int place = random.Next(bytes.Count);
            switch (random.Next(4))
            {
                case 0:
                    bytes[place] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes.Insert(place, (byte)random.Next(32, 127));
                    break;
                case 2:
                    bytes.RemoveRange(place, Math.Min(random.Next(1, 9), bytes.Count - place));
                    break;
                default:
                    bytes.InsertRange(place, bytes.GetRange(place, Math.Min(random.Next(1, 40), bytes.Count - place)));
                    break;
            }

            if (bytes.Count == 0)
                bytes.Add((byte)'{');
        }

        return [.. bytes];
    }
}
