using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting;

/// <summary>The cross-entropy of data under a model.</summary>
/// <param name="Mean">Mean over all response tokens, in nats; NaN where there are none.</param>
/// <param name="ResponseTokens">Number of response tokens.</param>
/// <param name="Examples">Every token of every example, in order.</param>
public sealed record DataLoss(double Mean, long ResponseTokens, IReadOnlyList<IReadOnlyList<TokenLoss>> Examples)
{
    /// <summary>e to the mean.</summary>
    public double Perplexity => Math.Exp(Mean);
}

/// <summary>A token and its cross-entropy.</summary>
/// <param name="Id">Id of the token.</param>
/// <param name="Text">Its text; bytes that are only part of a character are shown as such.</param>
/// <param name="IsResponse">Whether training learns it.</param>
/// <param name="Loss">Cross-entropy in nats given the tokens before it; 0 for an example's first, which nothing predicts.</param>
public sealed record TokenLoss(int Id, string Text, bool IsResponse, float Loss);

/// <summary>The response tokens of data, divided into those to learn and those to forget (arXiv 2508.04329, section 3).</summary>
public sealed class DataScores
{
    private readonly IReadOnlyList<EncodedExample> _examples;
    private readonly Scores _scores;

    internal DataScores(IReadOnlyList<EncodedExample> examples, Scores scores, Func<int[], IReadOnlyList<string>> texts)
    {
        (_examples, _scores) = (examples, scores);
        Examples = [.. examples.Select((example, i) => Tokens(example, i, texts(example.Ids)))];
    }

    /// <summary>Every token of every example, in order.</summary>
    public IReadOnlyList<IReadOnlyList<TokenScore>> Examples { get; }

    /// <summary>Writes the scores as JSON Lines, as <see cref="TokenForgettingSettings.Scores"/> takes them.</summary>
    /// <exception cref="UserException">Not writable or disk full.</exception>
    public void Save(string path) => ScoreFile.Write(path, _examples, _scores);

    /// <summary>How the tokens were divided, in a sentence.</summary>
    public override string ToString() => _scores.Partition.ToString()!;

    private TokenScore[] Tokens(EncodedExample example, int i, IReadOnlyList<string> texts) =>
    [
        .. example.Ids.Select((id, t) => new TokenScore(
            id, texts[t], example.Response[t], _scores.BaseLoss[i][t], _scores.ReferenceLoss[i][t], _scores.Influence[i][t],
            _scores.Partition.Signs[i][t])),
    ];
}

/// <summary>A token and what two models make of it.</summary>
/// <param name="Id">Id of the token.</param>
/// <param name="Text">Its text; bytes that are only part of a character are shown as such.</param>
/// <param name="IsResponse">Whether training learns or forgets it; the other figures are 0 where it does not.</param>
/// <param name="BaseLoss">Cross-entropy under the model, nats.</param>
/// <param name="ReferenceLoss">Cross-entropy under the reference, nats.</param>
/// <param name="Influence">The first less the second: high where the reference has learnt something.</param>
/// <param name="Sign">1 learnt, −1 forgotten, 0 neither.</param>
public sealed record TokenScore(int Id, string Text, bool IsResponse, float BaseLoss, float ReferenceLoss, float Influence, int Sign);

/// <summary>How much the loss depends on a tensor of weights.</summary>
/// <param name="Name">Name of the tensor, as the checkpoint (or adapter) has it.</param>
/// <param name="Count">Number of its weights.</param>
/// <param name="Sum">Sum of the diagonal Fisher information of its weights.</param>
public sealed record TensorInformation(string Name, long Count, double Sum);

/// <content>What the model makes of data, without changing it.</content>
public sealed partial class LanguageModel
{
    /// <summary>The loss of every token of a data file.</summary>
    /// <param name="data">Examples, JSON Lines.</param>
    /// <param name="options">How the data becomes tokens; null for the defaults. The template is this model's and is not given.</param>
    /// <param name="cancellation">Ends the call after the batch in progress.</param>
    /// <exception cref="UserException">The data is missing or malformed or does not fit the model; names file and line.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public DataLoss LossOf(string data, DataSettings? options = null, CancellationToken cancellation = default) =>
        Locked(() => LossOf(Encode(data, options), cancellation));

    /// <summary>The loss of every token of some examples.</summary>
    /// <inheritdoc cref="LossOf(string, DataSettings?, CancellationToken)"/>
    public DataLoss LossOf(IEnumerable<TrainingExample> data, DataSettings? options = null, CancellationToken cancellation = default) =>
        Locked(() => LossOf(Encode(data, options), cancellation));

    /// <summary>
    /// Scores every response token of a data file by how much a reference model improves on this one, and divides the tokens by that.
    /// </summary>
    /// <param name="reference">The model after training on trusted examples.</param>
    /// <param name="data">Examples, JSON Lines.</param>
    /// <param name="options">Kind of score, ρ and what else divides; how the data becomes tokens. Null for the defaults.</param>
    /// <param name="cancellation">Ends the call after the batch in progress.</param>
    /// <exception cref="UserException">The data is missing or malformed, does not fit both models, or the scores do not
    /// tell the tokens apart.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public DataScores ScoreTokens(
        LanguageModel reference, string data, TrainingOptions? options = null, CancellationToken cancellation = default) =>
            Score(Locked(() => Encode(data, options?.Data)), reference, options, cancellation);

    /// <summary>
    /// Scores every response token of some examples by how much a reference model improves on this one, and divides the tokens by that.
    /// </summary>
    /// <inheritdoc cref="ScoreTokens(LanguageModel, string, TrainingOptions?, CancellationToken)"/>
    public DataScores ScoreTokens(
        LanguageModel reference, IEnumerable<TrainingExample> data, TrainingOptions? options = null,
        CancellationToken cancellation = default) =>
        Score(Locked(() => Encode(data, options?.Data)), reference, options, cancellation);

    /// <summary>
    /// Computes the diagonal Fisher information of a data file, of all weights or of an adapter's (arXiv
    /// 2505.19715), and writes it as safetensors.
    /// </summary>
    /// <param name="data">Examples, JSON Lines.</param>
    /// <param name="output">File to write; appears whole or not at all.</param>
    /// <param name="kind">Whose targets: the data's own, or drawn from the model.</param>
    /// <param name="options">How the data becomes tokens; null for the defaults.</param>
    /// <param name="cancellation">Ends the call after the batch in progress.</param>
    /// <returns>The sums over the tensors, the largest first.</returns>
    /// <exception cref="UserException">The data is missing or malformed or does not fit the model, or the
    /// file cannot be written.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public IReadOnlyList<TensorInformation> FisherInformation(
        string data, string output, FisherKind kind = FisherKind.Empirical, DataSettings? options = null,
        CancellationToken cancellation = default) =>
        Locked(() => Fisher(Encode(data, options), output, kind, cancellation));

    /// <summary>
    /// Computes the diagonal Fisher information of some examples, of all weights or of an adapter's (arXiv
    /// 2505.19715), and writes it as safetensors.
    /// </summary>
    /// <inheritdoc cref="FisherInformation(string, string, FisherKind, DataSettings?, CancellationToken)"/>
    public IReadOnlyList<TensorInformation> FisherInformation(
        IEnumerable<TrainingExample> data, string output, FisherKind kind = FisherKind.Empirical, DataSettings? options = null,
        CancellationToken cancellation = default) => Locked(() => Fisher(Encode(data, options), output, kind, cancellation));

    private DataLoss LossOf(IReadOnlyList<EncodedExample> examples, CancellationToken cancellation)
    {
        IReadOnlyList<float[]> losses = Losses(examples, allTokens: true, cancellation);
        (double mean, long count) = Scorer.ResponseMean(examples, losses);
        return new DataLoss(mean, count, [.. examples.Select((example, i) => example.Ids
            .Zip(Texts(example.Ids), (id, text) => (Id: id, Text: text))
            .Select((token, t) => new TokenLoss(token.Id, token.Text, example.Response[t], losses[i][t])).ToArray())]);
    }

    private DataScores Score(
        IReadOnlyList<EncodedExample> examples, LanguageModel reference, TrainingOptions? options, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(reference);
        options ??= new TrainingOptions();
        options.ValidateValues();
        IReadOnlyList<float[]> own = Locked(() => Losses(examples, allTokens: false, cancellation));
        IReadOnlyList<float[]> others = reference.Locked(() => reference.Losses(examples, allTokens: false, cancellation));
        return Locked(() => new DataScores(
            examples, Scores.Create(examples, own, others, options.ResolveScore(), PartitionRule.From(options)), Texts));
    }

    private IReadOnlyList<float[]> Losses(IReadOnlyList<EncodedExample> examples, bool allTokens, CancellationToken cancellation) =>
        Scorer.Losses(Loaded.Decoder, examples, new ComputeSettings().MicroBatchTokens, allTokens, cancellation: cancellation);

    private IReadOnlyList<TensorInformation> Fisher(
        IReadOnlyList<EncodedExample> examples, string output, FisherKind kind, CancellationToken cancellation)
    {
        IO.AtomicFile.CheckWritable(output);
        Unload(); // gradients need weights of another type and memory of their own
        using LoadedModel model = LoadedModel.Load(_path, _backend, training: true, adapter: _adapter, baseType: _baseType);
        var options = new TrainingOptions();
        Methods.LearningWithForgetting.FisherInformation.Compute(
            model.Decoder, examples, kind, options.Compute.MicroBatchTokens, options.Seed, cancellation: cancellation);
        FisherFile.Write(output, model.Decoder, examples.Count, kind);
        return [.. model.Decoder.TrainableParameters.Select(Sum).OrderByDescending(tensor => tensor.Sum)];
    }

    private TensorInformation Sum(Parameter parameter)
    {
        var values = new float[parameter.Shape.Count];
        _backend.Download<float>(parameter.Gradient, values);
        return new TensorInformation(parameter.Name, values.Length, values.Sum(value => (double)value));
    }

    private IReadOnlyList<string> Texts(int[] ids) => Loaded.Tokenizer.TextsOf(ids);

    private IReadOnlyList<EncodedExample> Encode(string data, DataSettings? options)
    {
        ArgumentNullException.ThrowIfNull(data);
        return ExampleLoader.Load(data, Loaded.Tokenizer, Loaded.Decoder.Config, Encoding(options));
    }

    private IReadOnlyList<EncodedExample> Encode(IEnumerable<TrainingExample> data, DataSettings? options)
    {
        ArgumentNullException.ThrowIfNull(data);
        return ExampleLoader.Encode(
            [.. data.Select((example, i) => example.ToData(i))], "data", Loaded.Tokenizer, Loaded.Decoder.Config, Encoding(options));
    }

    private TrainingOptions Encoding(DataSettings? options)
    {
        DataSettings given = options ?? new DataSettings(), standard = new();
        RequireOwn("data", given.Path, standard.Path, "");
        RequireOwn("template", given.Template, standard.Template, _template);
        return new TrainingOptions { Model = Loaded.Source.Path, Adapter = _adapter, Data = given with { Template = _template } };
    }
}
