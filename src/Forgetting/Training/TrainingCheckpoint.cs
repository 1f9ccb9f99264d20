using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>
/// What a checkpoint knows besides tensors. Order, dropout and schedules are functions of the seed and the
/// step, so these need no further state.
/// </summary>
internal sealed record TrainingState
{
    /// <summary>Optimiser steps done.</summary>
    public required int Step { get; init; }

    /// <summary>Updates of the optimiser, unlearning steps included.</summary>
    public required int Updates { get; init; }

    /// <summary>Bound of adaptive λ; null for none.</summary>
    public required double? LambdaBound { get; init; }

    /// <summary>The last step, where its evaluation was cut short and it is not in <c>metrics.jsonl</c> yet.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public StepMetrics? Unevaluated { get; init; }

    /// <summary>The best evaluation so far.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public BestStep? Best { get; init; }

    /// <summary>Steps the run was to have; one that is finished can go on to more.</summary>
    public required int Steps { get; init; }

    /// <summary>Length of <c>metrics.jsonl</c>, bytes.</summary>
    public required long MetricsBytes { get; init; }

    /// <summary>SHA-256 of so much of <c>metrics.jsonl</c>, hexadecimal.</summary>
    public required string MetricsHash { get; init; }

    /// <summary>Time spent in training.</summary>
    public required double ElapsedSeconds { get; init; }

    /// <summary>Fingerprint of the training set: ids and signs in order, those that the data gives among them, and weights.</summary>
    public required string Data { get; init; }

    /// <summary>Settings by name.</summary>
    public required IReadOnlyDictionary<string, string> Settings { get; init; }
}

/// <summary>
/// Checkpoints of a run: folders <c>step-NNNNNN</c> that appear whole or not at all, each with <c>training.safetensors</c> (masters of the
/// trainable parameters, both moments of AdamW as the optimiser has them), <c>state.json</c>, and <c>sha256sums</c>, their checksums,
/// which are verified before anything is read. A run resumed from one continues to the same bits as one that was never interrupted.
/// </summary>
/// <param name="folder">Folder of the checkpoints.</param>
/// <param name="keep">How many are kept.</param>
/// <param name="ranks">
/// Where ranks divide the optimiser's state: these; null where the first has all of it. A checkpoint has whole tensors all the same,
/// brought together a piece at a time, and any number of ranks, however they divide them, resumes from it.
/// </param>
internal sealed class TrainingCheckpoint(string folder, int keep, ICommunicator? ranks = null)
{
    private const string StateName = "state.json";
    private const string TensorsName = "training.safetensors";
    private const int PieceElements = 1 << 18; // of a tensor at once

    /// <summary>Whether a setting's value can change what a training results in, other than through the data it names.</summary>
    public static bool Matters(string setting) => Recipe.Find(setting) is not { MayChange: true };

    /// <summary>Folder of the newest checkpoint, or null.</summary>
    public string? Latest => All().LastOrDefault();

    /// <summary>Writes a checkpoint, then removes the oldest ones beyond the number to keep.</summary>
    /// <exception cref="UserException">Not writable or disk full.</exception>
    /// <param name="unlearning">The unlearning steps' own optimiser, or null.</param>
    public string Write(TrainingState state, AdamWOptimizer optimizer, IMemory memory, AdamWOptimizer? unlearning = null)
    {
        string path = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"step-{state.Step:D6}"));
        AtomicDirectory.Write(path, StateName, beside =>
        {
            using (FileStream stream = File.Create(Path.Combine(beside, TensorsName)))
            {
                WriteTensors(stream, [.. Tensors(optimizer, unlearning)], memory);
            }

            File.WriteAllBytes(Path.Combine(beside, StateName), JsonSerializer.SerializeToUtf8Bytes(state, JsonLines.Options));
            Checksums.Write(beside);
        });
        RemoveOldest();
        return path;
    }

    /// <summary>The part of a rank that is not the first in <see cref="Write"/>: gives what it has of the state.</summary>
    /// <param name="unlearning">The unlearning steps' own optimiser, or null.</param>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public void Follow(AdamWOptimizer optimizer, IMemory memory, AdamWOptimizer? unlearning = null)
    {
        if (ranks != null)
            WriteTensors(Stream.Null, [.. Tensors(optimizer, unlearning)], memory);
    }

    /// <summary>Restores the optimiser and the masters from the newest checkpoint.</summary>
    /// <param name="unlearning">The unlearning steps' own optimiser, or null; its number of updates is the caller's to tell.</param>
    /// <returns>Its state, or null without a checkpoint.</returns>
    /// <exception cref="UserException">It belongs to another run, naming what differs, or is damaged.</exception>
    public TrainingState? Restore(TrainingState expected, AdamWOptimizer optimizer, IMemory memory, AdamWOptimizer? unlearning = null)
    {
        if (Latest is not { } path)
            return null;

        if (Checksums.Damaged(path) is { } damage)
            throw new UserException($"{damage}; remove {path} to resume from an earlier checkpoint, or from the beginning");

        TrainingState state = ReadState(Path.Combine(path, StateName));
        CheckSettings(path, state.Settings, expected.Settings);
        if (state.Steps != expected.Steps && (state.Step < state.Steps || expected.Steps < state.Steps))
        {
            throw new UserException(
                $"{path}: the run was to have {state.Steps} steps and has done {state.Step}, found {expected.Steps}; "
                + "a run goes on for longer once it is finished");
        }

        if (state.Data != expected.Data)
            throw new UserException($"{path}: the training set is not the one this run began with");

        ReadTensors(Path.Combine(path, TensorsName), Tensors(optimizer, unlearning), memory);
        optimizer.Updates = state.Updates;
        return state;
    }

    /// <summary>
    /// Refuses to continue a run with settings that would change its result. Its length is no part of that: a finished run may go on.
    /// </summary>
    /// <param name="place">What the error begins with: where the settings were found.</param>
    /// <param name="began">Settings the run began with, by name.</param>
    /// <param name="now">Settings it is to go on with.</param>
    /// <exception cref="UserException">They differ; names the first that does.</exception>
    public static void CheckSettings(string place, IReadOnlyDictionary<string, string> began, IReadOnlyDictionary<string, string> now)
    {
        foreach ((string name, string value) in now)
        {
            string then =
                began.GetValueOrDefault(name) ?? (Recipe.Find(name)?.Formerly is { } former ? began.GetValueOrDefault(former) : null) ?? "";
            if (then != value && Matters(name) && name is not ("epochs" or "steps"))
            {
                throw new UserException(
                    $"{place}: {name} was \"{then}\", found \"{value}\"; a run resumes with the settings it began with");
            }
        }
    }

    /// <summary>Fingerprint of what a run trains on, sets in order.</summary>
    public static string Fingerprint(params ReadOnlySpan<TrainingSet> sets)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (TrainingSet set in sets)
        {
            Append(hash, set);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void Append(IncrementalHash hash, TrainingSet set)
    {
        Span<int> length = stackalloc int[1], source = stackalloc int[1];
        for (int i = 0; i < set.Examples.Count; i++)
        {
            EncodedExample example = set.Examples[i];
            length[0] = example.Length;
            hash.AppendData(MemoryMarshal.AsBytes(length));
            hash.AppendData(MemoryMarshal.AsBytes(example.Ids.AsSpan()));
            hash.AppendData(MemoryMarshal.AsBytes(set.Signs[i].AsSpan()));
            hash.AppendData(MemoryMarshal.AsBytes(example.Given.AsSpan()));
            hash.AppendData(MemoryMarshal.AsBytes(example.Weights.AsSpan()));
            if (example.Source is { } from)
            {
                source[0] = from;
                hash.AppendData(MemoryMarshal.AsBytes(source));
            }
        }
    }

    private List<string> All() => Directory.Exists(folder)
        ? [.. Directory.EnumerateDirectories(folder, "step-*").OrderBy(p => p.Length).ThenBy(p => p, StringComparer.Ordinal)]
        : [];

    private void RemoveOldest()
    {
        List<string> all = All();
        foreach (string old in all.Take(all.Count - keep))
        {
            Temporary.Delete(old);
        }
    }

    private static IEnumerable<StateTensor> Tensors(AdamWOptimizer optimizer, AdamWOptimizer? unlearning) =>
        [.. optimizer.State(), .. unlearning?.Moments("unlearning.") ?? []];

    private void WriteTensors(Stream stream, List<StateTensor> tensors, IMemory memory)
    {
        Dictionary<string, StateTensor> byName = tensors.ToDictionary(t => t.Name);
        var writer = new SafeTensorsWriter(
            stream,
            tensors.Select(t => new TensorEntry(t.Name, Stored(t), [t.Shape.Rows, t.Shape.Columns])),
            SafeTensorsWriter.StandardMetadata);
        var piece = new byte[PieceElements * sizeof(float)];
        foreach (TensorEntry entry in writer.Entries)
        {
            StateTensor tensor = byName[entry.Name];
            for (long first = 0; first < tensor.Shape.Count; first += PieceElements)
            {
                Tensor own = tensor.Among(first, PieceElements);
                Span<byte> bytes = piece.AsSpan(0, (int)own.Bytes);
                memory.Download(own.Raw, bytes);

                // Of a piece each rank has some, or none, in the order of ranks.
                foreach (byte[] part in (ranks ?? SingleProcess.Instance).Gather(bytes))
                {
                    writer.Write(part);
                }
            }
        }

        writer.Complete();
    }

    private static void ReadTensors(string path, IEnumerable<StateTensor> tensors, IMemory memory)
    {
        using SafeTensorsFile file = SafeTensorsFile.Open(path);
        Dictionary<string, StoredTensor> byName = file.Tensors.ToDictionary(t => t.Name);
        var buffers = new TransferBuffers();
        foreach (StateTensor tensor in tensors)
        {
            string name = tensor.Name;
            StoredTensor stored = byName.GetValueOrDefault(name) ?? throw new UserException($"{path}: {name} is missing");
            if (stored.Type != Stored(tensor) || !stored.Has(tensor.Shape))
                throw new UserException($"{path}: {name} is {stored.Type} {stored.ShapeText}, expected {Stored(tensor)} {tensor.Shape}");

            if (name == tensor.Parameter.Name)
            {
                TensorTransfer.Load(stored, transposed: false, tensor.Parameter, memory, buffers);
                continue;
            }

            for (long done = 0; done < tensor.Values.Count; done += PieceElements)
            {
                Tensor piece = tensor.Among(tensor.First + done, PieceElements);
                using MappedView view = stored.Map((tensor.First + done) * tensor.DType.Size(), piece.Bytes);
                memory.Upload(view.Bytes, piece.Raw);
            }
        }
    }

    private static StoredType Stored(StateTensor tensor) => tensor.DType switch
    {
        DType.UInt8 => StoredType.U8,
        DType.BFloat16 => StoredType.BF16,
        _ => StoredType.F32,
    };

    private static TrainingState ReadState(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<TrainingState>(File.ReadAllBytes(path), JsonLines.Options)!;
        }
        catch (JsonException error)
        {
            throw new UserException($"{path}: is not the state of a training: {JsonLines.Reason(error)}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw InputFile.CannotRead(path, error);
        }
    }
}
