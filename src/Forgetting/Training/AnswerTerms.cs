using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Models;

namespace Forgetting.Training;

/// <summary>
/// The terms of a step's answers in an objective that depends on each as a whole. A forward pass, without dropout, gives their losses;
/// from then on a token of an answer weighs what
/// all tokens of the answer do.
/// </summary>
internal sealed class AnswerTerms
{
    private readonly SequenceObjective _objective;
    private readonly int[] _places;
    private readonly SetParts _parts;
    private readonly EncodedExample[] _examples;
    private readonly sbyte[][] _signs;
    private readonly (double Base, double Tokens)[] _known; // of each example
    private readonly double[] _losses;
    private readonly double[] _factors;

    /// <summary>Terms of the examples of a step.</summary>
    /// <param name="chosen">Places in <paramref name="set"/>.</param>
    public AnswerTerms(SequenceObjective objective, TrainingSet set, ReadOnlySpan<int> chosen)
    {
        _objective = objective;
        _parts = set.Parts!;
        _places = chosen.ToArray();
        _examples = [.. _places.Select(place => set.Examples[place])];
        _signs = [.. _places.Select(place => set.Signs[place])];
        _known = [.. _places.Select(place => Known(set, place))];
        _losses = new double[_places.Length];
        _factors = new double[_places.Length];
    }

    /// <summary>Mean of the terms over the answers that must go.</summary>
    public double Value { get; private set; }

    /// <summary>Weight of a token of an example that counts as one; null where that is as in any other objective.</summary>
    /// <param name="example">Its number in the step.</param>
    public float? WeightOf(int example) => _parts.IsRetained(_places[example]) ? null : (float)_factors[example];

    /// <summary>Finds out the weights.</summary>
    /// <param name="batches">The step's micro-batches in order.</param>
    public void Measure(Decoder decoder, IEnumerable<TokenBatch> batches)
    {
        int example = 0;
        foreach (TokenBatch tokens in batches)
        {
            var losses = new float[tokens.HeadRows.Length];
            if (losses.Length > 0)
                decoder.Forward(tokens, losses);

            for (int document = 0; document < tokens.Documents; document++, example++)
            {
                _losses[example] = 0;
                for (int i = tokens.HeadOffsets[document]; i < tokens.HeadOffsets[document + 1]; i++)
                {
                    int token = tokens.Positions[tokens.HeadRows[i]] + 1;
                    _losses[example] += Mass(_examples[example], _signs[example], token) * losses[i];
                }
            }
        }

        Weigh();
    }

    private void Weigh()
    {
        int[] answers = [.. Enumerable.Range(0, _places.Length).Where(i => _places[i] < _parts.Forget)];
        Value = 0;
        for (int n = 0; n < answers.Length; n++)
        {
            // Refusals stand at the end of the step, in the order of the answers.
            int answer = answers[n], refusal = _parts.Refusals ? _places.Length - answers.Length + n : -1;
            (double value, double ofAnswer, double ofRefusal) = _objective.Term(Loss(answer), refusal < 0 ? default : Loss(refusal));
            Value += value / answers.Length;
            _factors[answer] = ofAnswer / answers.Length;
            if (refusal >= 0)
                _factors[refusal] = ofRefusal / answers.Length;
        }
    }

    private AnswerLoss Loss(int example) => new(_losses[example], _known[example].Base, _known[example].Tokens);

    private static (double Base, double Tokens) Known(TrainingSet set, int place)
    {
        double sum = 0, tokens = 0;
        for (int t = 0; t < set.Signs[place].Length; t++)
        {
            double mass = Mass(set.Examples[place], set.Signs[place], t);
            sum -= mass * (set.BaseLogProbabilities?[place][t] ?? 0);
            tokens += mass;
        }

        return (sum, tokens);
    }

    // As how many tokens one counts.
    private static double Mass(EncodedExample example, sbyte[] signs, int token) => signs[token] == 0 ? 0 : example.Weights?[token] ?? 1;
}
