using Forgetting.Core;

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
            names.Positions is null ? null : builder.Embedding(names.Positions, config.ContextLength),
            (float)config.EmbeddingScale);
        var blocks = new Block[config.Layers];
        for (int layer = 0; layer < blocks.Length; layer++)
        {
            builder.Unit++;
            blocks[layer] = new Block(builder, layer);
        }

        builder.Unit++;
        NormLayer finalNorm = builder.Norm(names.FinalNorm);

        // As in PEFT, an adapter of one end of a tied pair, or a copy of it that is trained, leaves the other
        // as it was: the two are then apart.
        string end = embedding.Tokens.Name;
        bool apart = lora is not null && (lora.Touches(end) || lora.Touches(names.HeadWeight));
        LossHead head = builder.Head(config.TiedHead && !apart ? embedding.Tokens : null);
        lora?.Validate(builder.AdaptablePaths, builder.AdaptedPaths, [.. builder.BaseParameters.Select(p => p.Name)]);
        return new DecoderModules(embedding, blocks, finalNorm, head);
    }
}
