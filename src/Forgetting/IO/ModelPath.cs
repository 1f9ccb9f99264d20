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
}
