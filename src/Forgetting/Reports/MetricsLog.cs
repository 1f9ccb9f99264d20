using System.Globalization;
using System.Text.Json;

namespace Forgetting.Reports;

/// <summary>The lines of a <c>metrics.jsonl</c> as columns. A line that lacks a key, or has null there, has NaN in that column.</summary>
public sealed class MetricsLog
{
    private readonly List<Dictionary<string, double>> _lines = [];

    private MetricsLog()
    {
    }

    /// <summary>Number of lines.</summary>
    public int Count => _lines.Count;

    /// <summary>Reads a metrics file.</summary>
    /// <exception cref="UserException">The file is missing or a line is not a JSON object; names file and line.</exception>
    public static MetricsLog Read(string path)
    {
        if (!File.Exists(path))
            throw new UserException($"{path}: no such file: expected the metrics of a run");

        var log = new MetricsLog();
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            if (line.Length == 0)
                continue;

            try
            {
                using JsonDocument document = JsonDocument.Parse(line);
                if (document.RootElement.ValueKind != JsonValueKind.Object)
                    throw new UserException($"{path}:{number}: found a JSON {document.RootElement.ValueKind}, expected an object");

                log._lines.Add(document.RootElement.EnumerateObject()
                    .Where(p => p.Value.ValueKind == JsonValueKind.Number)
                    .ToDictionary(p => p.Name, p => p.Value.GetDouble()));
            }
            catch (JsonException error)
            {
                throw new UserException($"{path}:{number.ToString(CultureInfo.InvariantCulture)}: not JSON: {error.Message}", error);
            }
        }

        return log;
    }

    /// <summary>One column over all lines.</summary>
    public IReadOnlyList<double> Column(string key) => [.. _lines.Select(l => l.GetValueOrDefault(key, double.NaN))];

    /// <summary>A column against the optimiser step, as a curve.</summary>
    public Series Curve(string key, string name) =>
        new(name, [.. _lines.Where(l => l.ContainsKey("step") && l.ContainsKey(key)).Select(l => (l["step"], l[key]))]);

    /// <summary>Mean of a column's numbers over the last tenth of the run; NaN where there are none.</summary>
    public double Final(string key)
    {
        double[] values = [.. Column(key).Skip(_lines.Count - Math.Max(1, _lines.Count / 10)).Where(double.IsFinite)];
        return values.Length == 0 ? double.NaN : values.Average();
    }
}
