using Forgetting.Backends;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Methods.LearningWithForgetting;

/// <summary>
/// Batch spectral shrinkage (Chen et al., NeurIPS 2019): adds η Σ σ² over the k smallest singular values of the batch's feature matrix, so
/// that directions which carry little are given up. The features are the mean final hidden states of the documents (this project's choice);
/// the gradient at the feature matrix is 2η Σ σ u vᵀ.
/// </summary>
/// <param name="weight">η.</param>
/// <param name="count">k, at least 1.</param>
internal sealed class SpectralShrinkage(double weight, int count) : IFeatureRegularizer
{
    private float[] _step = []; // gradient at the features of the step's documents that are still to come
    private int _next;
    private int _width;

    /// <summary>η Σ σ² of the last batch.</summary>
    public double Value { get; private set; }

    /// <inheritdoc/>
    public void BeginStep(ReadOnlySpan<float> features, int documents)
    {
        _step = Gradient(features, documents);
        _next = 0;
        _width = features.Length / documents;
    }

    /// <inheritdoc/>
    public void Skip(int documents) => _next += documents * _width;

    /// <inheritdoc/>
    public void AddGradient(IBackend backend, Arena arena, Tensor hidden, Tensor offsets, Tensor dHidden)
    {
        ArgumentNullException.ThrowIfNull(backend);
        ArgumentNullException.ThrowIfNull(arena);
        int n = offsets.Columns - 1, width = hidden.Columns;
        Tensor features = arena.Take(n, width); // [n, C]
        backend.SegmentMean(hidden, offsets, features);
        if (_next == _step.Length)
        {
            var host = new float[n * width];
            backend.Download(features, host.AsSpan());
            BeginStep(host, n);
        }

        backend.Upload<float>(_step.AsSpan(_next, n * width), features);
        _next += n * width;
        backend.SegmentMeanBackward(features, offsets, dHidden);
    }

    private float[] Gradient(ReadOnlySpan<float> features, int documents)
    {
        var values = new double[features.Length];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = features[i];
        }

        return Array.ConvertAll(Gradient(values, documents, features.Length / documents), v => (float)v);
    }

    /// <summary>The gradient at a feature matrix; sets <see cref="Value"/>.</summary>
    /// <param name="features">[n, C], row by row.</param>
    /// <param name="n">Rows.</param>
    /// <param name="width">C.</param>
    /// <returns>[n, C].</returns>
    internal double[] Gradient(double[] features, int n, int width)
    {
        // σ² and u are the eigenpairs of the small Gram matrix X·Xᵀ (n ≤ C) and σ·vᵀ = uᵀ·X, so no singular vectors of X are needed:
        // 2η Σ σ u vᵀ = 2η Σ u (uᵀX). With n > C the same holds with the roles of rows and columns exchanged.
        bool rows = n <= width;
        int size = Math.Min(n, width);
        var gram = new double[size * size];
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j <= i; j++)
            {
                double sum = 0;
                for (int k = 0; k < (rows ? width : n); k++)
                {
                    sum += rows ? features[i * width + k] * features[j * width + k] : features[k * width + i] * features[k * width + j];
                }

                gram[i * size + j] = gram[j * size + i] = sum;
            }
        }

        (double[] values, double[] vectors) = SymmetricEigen.Decompose(gram, size);
        int[] smallest = [.. Enumerable.Range(0, size).OrderBy(i => values[i]).Take(count)];
        Value = weight * smallest.Sum(i => Math.Max(0, values[i]));
        var gradient = new double[n * width];
        foreach (int e in smallest)
        {
            AddOuter(features, n, width, vectors.AsSpan(e * size, size), rows, gradient);
        }

        return gradient;
    }

    // Adds 2η u (uᵀX), or 2η (X v) vᵀ where the eigenvector is of XᵀX.
    private void AddOuter(double[] features, int n, int width, ReadOnlySpan<double> vector, bool rows, double[] gradient)
    {
        var projected = new double[rows ? width : n];
        for (int i = 0; i < n; i++)
        {
            for (int c = 0; c < width; c++)
            {
                projected[rows ? c : i] += features[i * width + c] * vector[rows ? i : c];
            }
        }

        for (int i = 0; i < n; i++)
        {
            for (int c = 0; c < width; c++)
            {
                gradient[i * width + c] += 2 * weight * (rows ? vector[i] * projected[c] : projected[i] * vector[c]);
            }
        }
    }
}
