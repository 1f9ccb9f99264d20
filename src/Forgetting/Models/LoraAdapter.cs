using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// The trainable low-rank part of a weight (arXiv 2106.09685): s·B·A beside W [out, in] of a linear layer, s·A·Bᵀ beside a table [V, C]
/// whose rows are looked up, where PEFT's <c>lora_embedding_A</c> [r, V] is held as [V, r].
/// </summary>
/// <param name="weight">The frozen weight.</param>
/// <param name="a">[r, in]; of a table [V, r].</param>
/// <param name="b">[out, r]; of a table [C, r].</param>
/// <param name="scale">s.</param>
/// <param name="dropout">Rate on the input of A; a table's has none, as in PEFT.</param>
/// <param name="stream">Number of the layer's place in the model, for its dropout mask.</param>
internal sealed class LoraAdapter(Parameter weight, Parameter a, Parameter b, float scale, float dropout, int stream)
{
    public Parameter Weight => weight;

    public Parameter A => a;

    public Parameter B => b;

    public float Scale => scale;

    /// <summary>r.</summary>
    public int Rank => b.Shape.Columns;

    /// <summary>Whether the update is part of the weight, so that the low-rank part is not computed.</summary>
    public bool IsMerged { get; private set; }

    /// <summary>The mask on the input of A, where there is dropout; a function of place, so that the backward makes it again.</summary>
    public DropoutMask? Mask(Pass pass) => dropout > 0 && pass.Dropout ? pass.Mask(dropout, stream) : null;

    /// <summary>
    /// Adds the update to the weight, rounded once to storage type; the low-rank part is not computed from then on. A quantised weight
    /// stays as it is, and the update beside it.
    /// </summary>
    public void Merge(IBackend backend)
    {
        if (IsMerged || weight.Value.DType == DType.NormalFloat4)
            return;

        if (weight.Value.DType == DType.Float32)
        {
            AddUpdate(backend, weight.Value, 1);
        }
        else
        {
            using DeviceBuffer buffer = backend.Allocate(weight.Shape.Count * sizeof(float));
            Tensor sum = buffer.AsTensor(weight.Shape, DType.Float32);
            backend.Copy(weight.Value, sum);
            AddUpdate(backend, sum, 1);
            backend.Copy(sum, weight.Value);
        }

        IsMerged = true;
    }

    /// <summary>Adds <paramref name="factor"/> times the update to <paramref name="sum"/>.</summary>
    /// <param name="sum">Float32, the weight's shape.</param>
    public void AddUpdate(IBackend backend, Tensor sum, float factor)
    {
        if (weight.Kind == ParameterKind.Embedding)
        {
            backend.Gemm(a.Value, false, b.Value, true, sum, factor * scale, beta: 1);
        }
        else
        {
            backend.Gemm(b.Value, false, a.Value, false, sum, factor * scale, beta: 1);
        }
    }
}
