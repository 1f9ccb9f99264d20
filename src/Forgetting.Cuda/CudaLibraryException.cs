namespace Forgetting.Cuda;

/// <summary>A native library that is not there or does not load.</summary>
public sealed class CudaLibraryException : Exception
{
    /// <summary>With a sentence for the user.</summary>
    public CudaLibraryException(string message)
        : base(message)
    {
    }

    /// <summary>With a sentence for the user and its cause.</summary>
    public CudaLibraryException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
