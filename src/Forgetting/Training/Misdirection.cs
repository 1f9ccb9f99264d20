using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>
/// RMU (arXiv 2403.03218): the output h of one block is steered to c·u at the tokens that must go, with u a random direction of the
/// positive orthant (as the paper's program draws it), and kept near the base model's at those that must stay; both ‖·‖² / C. Tokens are
/// those before which a response token is predicted, as in the other objectives, where the paper takes all of a text (this project's
/// choice). Trained are the MLPs' last layers of the block and the two before it.
/// </summary>
/// <param name="baseModel">The model as it was before training; null where nothing must stay.</param>
/// <param name="block">Number of the block, from 0.</param>
/// <param name="target">[C] c·u.</param>
internal sealed class Misdirection(Decoder? baseModel, int block, float[] target) : IRegularizer
{
    private const int Blocks = 3;

    private float[] _weights = [];
    private bool _retained;

    /// <summary>The term that the settings ask for; null where they ask for none.</summary>
    public static Misdirection? From(TrainingOptions options, ModelConfig config, Decoder? baseModel) => !options.Steers ? null : new(
        baseModel, options.ForgetSet.ResolveSteeringBlock(config.Layers),
        Target(config.HiddenSize, options.ForgetSet.SteeringNorm, options.Seed));

    /// <summary>Leaves trainable what the settings steer hidden states with; without such settings everything.</summary>
    /// <exception cref="UserException">An adapter has no part in it.</exception>
    public static void Restrict(Decoder decoder, TrainingOptions options)
    {
        if (!options.Steers || decoder.TrainableParameters.Count == 0)
            return;

        int last = options.ForgetSet.ResolveSteeringBlock(decoder.Config.Layers), first = Math.Max(0, last - Blocks + 1);
        HashSet<Parameter> trained = [.. Enumerable.Range(first, last - first + 1).SelectMany(decoder.MlpOutput)];
        decoder.TrainOnly(trained.Contains);
        if (decoder.TrainableParameters.Count == 0)
        {
            throw new UserException(
                $"objective is rmu, which trains the last layer of the MLP of blocks {first} to {last}; "
                + "expected an adapter of it among lora-targets");
        }
    }

    /// <summary>Sum over tokens of |weight|·‖·‖² / C since <see cref="BeginStep"/>.</summary>
    public double Value { get; private set; }

    /// <summary>Begins a step.</summary>
    public void BeginStep() => Value = 0;

    /// <summary>Takes the weights of a micro-batch that is about to pass, which has none in the loss.</summary>
    /// <param name="retained">Whether its documents must stay; else they must go.</param>
    public void Take(TokenBatch batch, bool retained)
    {
        _weights = Array.ConvertAll(batch.Weights, Math.Abs);
        _retained = retained;
        Array.Clear(batch.Weights);
    }

    /// <inheritdoc/>
    public void AddBlockGradient(IBackend backend, Arena arena, TokenBatch batch, int number, Tensor output, Tensor dOutput)
    {
        if (number != block || _weights.Length == 0)
            return;

        ArenaMark mark = arena.Mark();
        int width = target.Length;
        Tensor rows = arena.Take(new Shape(_weights.Length), DType.Int32);
        backend.Upload<int>(batch.HeadRows, rows);
        float[] hidden = Rows(backend, arena, output, rows), known = _retained ? Rows(backend, arena, Known(batch), rows) : [];
        for (int i = 0; i < hidden.Length; i++)
        {
            double weight = _weights[i / width] / (double)width;
            double difference = hidden[i] - (double)(_retained ? known[i] : target[i % width]);
            Value += weight * difference * difference;
            hidden[i] = (float)(2 * weight * difference);
        }

        // Nothing else has a gradient here: no token has a weight in the loss.
        Tensor gradient = arena.Take(_weights.Length, width), stored = arena.Take(_weights.Length, width, dOutput.DType); // [R, C] both
        backend.Upload<float>(hidden, gradient);
        backend.Copy(gradient, stored);
        backend.ScatterRows(stored, rows, dOutput);
        arena.Release(mark);
    }

    /// <summary>norm·u.</summary>
    internal static float[] Target(int width, double norm, ulong seed)
    {
        var u = new double[width];
        for (int i = 0; i < width; i += 4)
        {
            (uint x, uint y, uint z, uint w) = Philox.Words(seed, (uint)i / 4, 0, 0, RandomDomain.Steering);
            uint[] words = [x, y, z, w];
            for (int k = 0; k < 4 && i + k < width; k++)
            {
                u[i + k] = Philox.ToUniform(words[k]);
            }
        }

        double length = Math.Sqrt(u.Sum(value => value * value));
        return Array.ConvertAll(u, value => (float)(norm * value / length));
    }

    private Tensor Known(TokenBatch batch) =>
        (baseModel ?? throw new InvalidOperationException("what must stay needs the base model")).BlockOutput(batch, block);

    // [R·C] of a tensor on the device.
    private static float[] Rows(IBackend backend, Arena arena, Tensor all, Tensor rows)
    {
        Tensor chosen = arena.Take((int)rows.Count, all.Columns, all.DType), wide = arena.Take((int)rows.Count, all.Columns); // [R, C] both
        backend.GatherRows(all, rows, chosen);
        backend.Copy(chosen, wide);
        var host = new float[wide.Count];
        backend.Download(wide, host.AsSpan());
        return host;
    }
}
