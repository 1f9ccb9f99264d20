namespace Forgetting.IO;

/// <summary>Where a model is that a user names.</summary>
internal static class ModelPath
{
    /// <summary>The path itself; of a run's folder, which holds a model but is none, that model's.</summary>
    public static string Resolve(string path) =>
        !File.Exists(Path.Combine(path, "config.json")) && File.Exists(Path.Combine(path, "run.yaml"))
        && Path.Combine(path, "model") is var model && Directory.Exists(model)
            ? model
            : path;

    /// <summary>The folder with a model's tokenizer and chat template: the model itself, or the one that its GGUF file lies in.</summary>
    public static string FilesOf(string path) =>
        Resolve(path) is var model && model.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) && File.Exists(model)
            ? Path.GetDirectoryName(Path.GetFullPath(model))!
            : model;
}
