using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Serving;
using Forgetting.Tensors;

namespace Forgetting.Server;

/// <summary>The models to serve, by name.</summary>
/// <param name="Base">Name and path of the first.</param>
/// <param name="Adapters">Names and folders of PEFT adapters of it, which share its weights.</param>
/// <param name="Others">Names and paths of further models.</param>
/// <param name="Template">How messages become text, as <c>--template</c> takes it.</param>
/// <param name="BaseType">Element type of the matrices of blocks (<see cref="Models.Decoder"/>), or null for the backend's.</param>
internal sealed record ModelChoice(
    (string Name, string Path) Base, IReadOnlyList<(string Name, string Path)> Adapters, IReadOnlyList<(string Name, string Path)> Others,
    string Template = "auto", DType? BaseType = null);

/// <summary>Models in memory, and the engine that they share.</summary>
internal sealed class ModelHost : IDisposable
{
    private readonly List<IDisposable> _owned = [];
    private readonly Dictionary<string, NamedModel> _models = new(StringComparer.Ordinal);

    private ModelHost(EngineLimits limits)
    {
        Engine = new GenerationEngine(limits);
    }

    /// <summary>What writes their texts.</summary>
    public GenerationEngine Engine { get; }

    /// <summary>The models, the base first.</summary>
    public IReadOnlyList<NamedModel> Models { get; private set; } = [];

    /// <summary>When they were loaded.</summary>
    public DateTimeOffset Loaded { get; } = DateTimeOffset.UtcNow;

    /// <summary>Loads them, and takes the memory for keys and values.</summary>
    /// <param name="limits">The context is cut to each model's own.</param>
    /// <param name="cacheTokens">Tokens of all texts that are written at once, for each base; null for four contexts.</param>
    /// <exception cref="UserException">A model is missing or bad or does not fit the memory, or two have one name.</exception>
    public static ModelHost Load(ModelChoice choice, IBackend backend, EngineLimits engine, AnswerLimits limits, int? cacheTokens = null)
    {
        (string Name, string Path)[] all = [choice.Base, .. choice.Adapters, .. choice.Others];
        if (all.GroupBy(model => model.Name).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw new UserException($"two models are named {twice.Key}, expected a name of its own for each");

        var host = new ModelHost(engine);
        try
        {
            (LoadedModel first, KeyValuePool pool) = host.Open(choice.Base.Path, choice.BaseType, backend, engine, limits, cacheTokens);
            List<NamedModel> models = [host.Named(choice.Base.Name, first, pool, choice.Template, limits)];
            foreach ((string name, string path) in choice.Adapters)
            {
                LoadedModel adapted = first.WithAdapter(path);
                host._owned.Add(adapted);
                models.Add(host.Named(name, adapted, pool, choice.Template, limits));
            }

            foreach ((string name, string path) in choice.Others)
            {
                (LoadedModel other, KeyValuePool own) = host.Open(path, choice.BaseType, backend, engine, limits, cacheTokens);
                models.Add(host.Named(name, other, own, choice.Template, limits));
            }

            host.Models = models;
            return host;
        }
        catch (DeviceMemoryException error)
        {
            host.Dispose();
            throw new UserException(error.Message, error);
        }
        catch
        {
            host.Dispose();
            throw;
        }
    }

    /// <summary>A model by its name.</summary>
    /// <exception cref="ApiError">There is none.</exception>
    public NamedModel this[string name] => _models.TryGetValue(name, out NamedModel? model) ? model : throw new ApiError(
        404, $"The model '{(name.Length <= 80 ? name : name[..80] + "…")}' does not exist; served are {string.Join(", ", _models.Keys)}",
        "model", "model_not_found");

    /// <inheritdoc/>
    public void Dispose()
    {
        Engine.Dispose();
        for (int i = _owned.Count - 1; i >= 0; i--)
        {
            _owned[i].Dispose();
        }
    }

    private (LoadedModel Model, KeyValuePool Pool) Open(
        string path, DType? baseType, IBackend backend, EngineLimits engine, AnswerLimits limits, int? cacheTokens)
    {
        LoadedModel loaded = LoadedModel.Load(path, backend, baseType: baseType);
        _owned.Add(loaded);
        int context = Math.Min(limits.Context, loaded.Decoder.Config.ContextLength);
        long rows = cacheTokens ?? (long)context * Math.Min(engine.Sequences, 4);
        var pool = new KeyValuePool(loaded.Decoder.Config, backend, (int)Math.Clamp(rows, context, int.MaxValue));
        _owned.Add(pool);
        pool.Reserve();
        return (loaded, pool);
    }

    private NamedModel Named(string name, LoadedModel loaded, KeyValuePool pool, string template, AnswerLimits limits) =>
        _models[name] = new NamedModel(name, new ServedModel(loaded, Engine, pool), template, limits);
}
