namespace Forgetting.Tensors;

/// <summary>A device has not enough memory for what was asked.</summary>
internal sealed class DeviceMemoryException : Exception
{
    /// <summary>An exception with a sentence that says what was asked for, what was free and which option to lower.</summary>
    public DeviceMemoryException(string message)
        : base(message)
    {
    }

    /// <summary>An exception with a cause.</summary>
    public DeviceMemoryException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>An exception without a message.</summary>
    public DeviceMemoryException()
    {
    }
}
