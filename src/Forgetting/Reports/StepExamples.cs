using System.Text;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>
/// Finds the scored examples of a step in a run's scores, of which only the lines that are shown are read.
/// </summary>
/// <param name="folder">The run's folder.</param>
internal sealed class StepExamples(string folder)
{
    // More than a reader looks at while a step lasts.
    private const int Most = 8;

    private readonly List<long> _lines = []; // where each begins, then the end of the last
    private (long Length, DateTime Written) _indexed;
    private (string Model, Tokenizer Tokenizer)? _tokenizer;

    /// <summary>Some of a step's examples with their tokens' influence and signs; none where the run has no scores.</summary>
    /// <exception cref="UserException">The tokenizer or a line of the scores cannot be read.</exception>
    /// <exception cref="IOException">The scores cannot be read.</exception>
    public IReadOnlyList<ScoredText> Read(StepMetrics step, TrainingOptions options)
    {
        var scores = new FileInfo(Path.Combine(folder, TokenForgettingMethod.ScoresName));
        if (!scores.Exists || step.Examples is not { } places)
            return [];

        if (_tokenizer?.Model != options.Model)
            _tokenizer = (options.Model, Tokenizer.Load(options.Model));

        using FileStream file = new(scores.FullName, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        if (_indexed != (scores.Length, scores.LastWriteTimeUtc))
        {
            Index(file);
            _indexed = (scores.Length, scores.LastWriteTimeUtc);
        }

        // Behind the scored ones are what a method adds, such as the reference's examples.
        return [.. places.Where(place => place < _lines.Count - 1).Take(Most).Select(place =>
            RunFiles.Scored(Line(file, scores.FullName, place), _tokenizer.Value.Tokenizer))];
    }

    private void Index(FileStream file)
    {
        _lines.Clear();
        _lines.Add(0);
        byte[] buffer = new byte[1 << 20];
        long at = 0;
        for (int count; (count = file.Read(buffer)) > 0; at += count)
        {
            for (int i = 0; i < count; i++)
            {
                if (buffer[i] == '\n')
                    _lines.Add(at + i + 1);
            }
        }
    }

    private ExampleScores Line(FileStream file, string path, int place)
    {
        byte[] line = new byte[_lines[place + 1] - _lines[place]];
        file.Position = _lines[place];
        file.ReadExactly(line);
        return JsonLines.Parse<ExampleScores>(Encoding.UTF8.GetString(line), path, place + 1);
    }
}
