namespace Forgetting.IO;

/// <summary>An open file of named tensors.</summary>
internal interface ITensorFile : IDisposable
{
    /// <summary>Path as given.</summary>
    string Path { get; }

    /// <summary>Its tensors.</summary>
    IReadOnlyList<StoredTensor> Tensors { get; }
}
