namespace Forgetting.Models;

/// <summary>The layers of a decoder with their parameters, not yet in any memory.</summary>
internal sealed record DecoderModules(EmbeddingLayer Embedding, Block[] Blocks, NormLayer FinalNorm, LossHead Head)
{
    /// <summary>Makes the layers in checkpoint order and checks that the adapter fits them.</summary>
    /// <exception cref="UserException">The adapter does not fit the model.</exception>
    public static DecoderModules Build(ModuleBuilder builder, LoraConfig? lora)
    {
        ModelConfig config = builder.Config;
        ModuleNames names = builder.Names;
        var embedding = new EmbeddingLayer(
            builder.Embedding(names.Embedding, config.VocabularySize),
            names.Positions is null ? null : builder.Embedding(names.Positions, config.ContextLength));
        Block[] blocks = [.. Enumerable.Range(0, config.Layers).Select(layer => new Block(builder, layer))];
        NormLayer finalNorm = builder.Norm(names.FinalNorm);
        var head = new LossHead(config.TiedHead ? embedding.Tokens : builder.Head());

        // A tied head may be named beside its embedding, as PEFT does.
        bool headIsSaved = config.TiedHead && lora is not null && lora.Saves(embedding.Tokens.Name);
        IEnumerable<string> saveable = builder.BaseParameters.Select(p => p.Name);
        lora?.Validate(builder.LinearPaths, [.. headIsSaved ? saveable.Append(ModuleNames.Head + ".weight") : saveable]);
        return new DecoderModules(embedding, blocks, finalNorm, head);
    }
}
