using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.IO;
using Forgetting.Methods;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>Response loss of one held-out example, as a line of <c>valid/step-NNNNNN.jsonl</c> has it.</summary>
/// <param name="Index">Its position in its data set, from 0.</param>
/// <param name="Hash">Hash of its tokens and of which are answers: what it is known by in another run.</param>
/// <param name="Tokens">Its response tokens.</param>
/// <param name="Loss">Mean cross-entropy of these, nats.</param>
internal sealed record HeldOutExample(int Index, string Hash, int Tokens, double Loss)
{
    /// <summary>The file of an evaluation in a run's folder.</summary>
    /// <param name="step">Optimiser steps done.</param>
    public static string FileOf(string folder, int step) =>
        Path.Combine(folder, HeldOutLoss.FolderName, string.Create(CultureInfo.InvariantCulture, $"step-{step:D6}.jsonl"));

    /// <summary>Reads what a run measured after a step.</summary>
    /// <exception cref="UserException">The file is missing or malformed.</exception>
    public static IReadOnlyList<HeldOutExample> Read(string folder, int step) => JsonLines.Read<HeldOutExample>(FileOf(folder, step));

    /// <summary>Mean cross-entropy over all response tokens of a set.</summary>
    public static double Mean(IReadOnlyList<HeldOutExample> examples) =>
        examples.Sum(e => e.Tokens * e.Loss) / examples.Sum(e => (double)e.Tokens);
}

/// <summary>Response loss of examples that a run does not train on, measured while it trains and kept by example.</summary>
internal sealed class HeldOutLoss
{
    /// <summary>Folder of the measurements, in that of the run.</summary>
    public const string FolderName = "valid";

    // Streams from 2³² − 1 down are no epoch's; the first is the reference's.
    private const uint SplitStream = uint.MaxValue - 1;

    private readonly IReadOnlyList<EncodedExample> _examples;
    private readonly string[] _hashes;
    private readonly string _folder;
    private readonly int _microBatchTokens;
    private readonly ICommunicator _ranks;

    /// <param name="examples">At least one.</param>
    /// <param name="folder">Folder of the run.</param>
    /// <param name="ranks">Share the examples; the first writes.</param>
    public HeldOutLoss(IReadOnlyList<EncodedExample> examples, string folder, int microBatchTokens, ICommunicator ranks)
    {
        (_examples, _folder, _microBatchTokens, _ranks) = (examples, folder, microBatchTokens, ranks);
        _hashes = [.. examples.Select(Hash)];
    }

    /// <summary>
    /// Takes the held-out examples out of a data set, at random by <paramref name="seed"/>; both parts keep the order of the data.
    /// </summary>
    /// <exception cref="UserException">One of the two parts would be empty.</exception>
    public static (IReadOnlyList<EncodedExample> Held, IReadOnlyList<EncodedExample> Training) Split(
        IReadOnlyList<EncodedExample> examples, double fraction, ulong seed)
    {
        (IReadOnlyList<EncodedExample> held, IReadOnlyList<EncodedExample> rest) = ExampleSplit.Take(examples, fraction, seed, SplitStream);
        return held.Count > 0 && rest.Count > 0 ? (held, rest) : throw new UserException(
            $"valid-fraction {fraction:0.###} of {examples.Count} examples leaves no examples "
            + $"{(held.Count == 0 ? "held out" : "for training")}");
    }

    /// <summary>
    /// A sentence about held-out examples that are trained on as well, whose loss says nothing of others; null where there are none.
    /// </summary>
    public static string? Leak(IReadOnlyList<EncodedExample> held, IReadOnlyList<EncodedExample> training)
    {
        if (held.Count == 0)
            return null;

        ILookup<string, EncodedExample> byHash = held.ToLookup(Hash);
        int count = training.Select(Hash).Where(byHash.Contains).Distinct().Sum(hash => byHash[hash].Count());
        return count == 0
            ? null
            : string.Create(CultureInfo.InvariantCulture, $"{count:N0} of the {held.Count:N0} held-out examples are trained on too");
    }

    /// <summary>Measures a model as it is and keeps the losses of all examples.</summary>
    /// <returns>Mean over all response tokens, nats.</returns>
    /// <exception cref="UserException">A loss is not finite, or the disk is full.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; nothing was kept.</exception>
    public double Measure(Decoder decoder, int step, ITrainingObserver? observer, CancellationToken cancellation)
    {
        IReadOnlyList<float[]> losses =
            Scorer.Losses(decoder, _examples, _microBatchTokens, allTokens: false, observer, _ranks, cancellation);
        HeldOutExample[] lines = [.. _examples.Select(
            (e, i) => new HeldOutExample(e.Index, _hashes[i], e.ResponseCount, Scorer.ResponseMean([e], [losses[i]]).Mean))];
        if (_ranks.IsFirst())
        {
            Directory.CreateDirectory(Path.Combine(_folder, FolderName));
            JsonLines.Write(HeldOutExample.FileOf(_folder, step), lines);
        }

        return HeldOutExample.Mean(lines);
    }

    /// <summary>The passes of <see cref="Measure"/>, of which nothing is kept.</summary>
    public void Rehearse(Decoder decoder) => Scorer.Losses(decoder, _examples, _microBatchTokens, allTokens: false);

    private static string Hash(EncodedExample example)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(MemoryMarshal.AsBytes(example.Ids.AsSpan()));
        hash.AppendData(MemoryMarshal.AsBytes(example.Response.AsSpan()));
        return Convert.ToHexStringLower(hash.GetHashAndReset())[..16];
    }
}
