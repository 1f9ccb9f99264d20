using System.Diagnostics;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Evaluation;

/// <summary>The answer to one request of a task.</summary>
/// <param name="Index">Index of the request.</param>
internal readonly record struct Answer<T>(int Index, T Value);

/// <summary>
/// A task's answers as they are computed, in a file beside the results, so that a run that is ended loses no more than the last seconds.
/// </summary>
internal sealed class AnswerLog<T> : IDisposable
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(2);

    private readonly PartialFile<Answer<T>> _file;
    private readonly List<Answer<T>> _pending = [];
    private readonly Stopwatch _sinceWritten = Stopwatch.StartNew();

    /// <summary>Opens what an earlier run left, or begins.</summary>
    /// <param name="path">Path of the file without its ending.</param>
    /// <param name="inputs">Fingerprint of what the answers are computed from; answers to anything else are dropped.</param>
    /// <exception cref="UserException">Not writable.</exception>
    public AnswerLog(string path, string inputs)
    {
        _file = PartialFile<Answer<T>>.Open(path, inputs);
        foreach (Answer<T> answer in _file.Records)
        {
            Known[answer.Index] = answer.Value;
        }
    }

    /// <summary>Answers of the earlier run by index.</summary>
    public Dictionary<int, T> Known { get; } = [];

    /// <summary>Adds answers; they are written every few seconds.</summary>
    /// <exception cref="UserException">The disk is full.</exception>
    public void Add(IEnumerable<Answer<T>> answers)
    {
        _pending.AddRange(answers);
        if (_sinceWritten.Elapsed > s_interval)
            Flush();
    }

    /// <summary>Writes what is not written yet.</summary>
    /// <exception cref="UserException">The disk is full.</exception>
    public void Flush()
    {
        if (_pending.Count > 0)
            _file.Append(_pending);

        _pending.Clear();
        _sinceWritten.Restart();
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();
}
