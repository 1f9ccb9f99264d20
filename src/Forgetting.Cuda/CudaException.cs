using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using static Forgetting.Cuda.DriverAPINativeMethods;

namespace Forgetting.Cuda;

/// <summary>A driver call that failed. The message names the call, the code and its text.</summary>
public sealed class CudaException : Exception
{
    /// <summary>A failure of an unnamed call.</summary>
    public CudaException(CUResult error)
        : this(error, "a CUDA driver call failed")
    {
    }

    /// <summary>A failure of the call that <paramref name="message"/> describes.</summary>
    public CudaException(CUResult error, string message, Exception? exception = null)
        : base($"{message}: {Name(error)} ({(int)error}), {Text(error)}", exception) => CudaError = error;

    /// <summary>What the driver returned.</summary>
    public CUResult CudaError { get; }

    /// <summary>Throws unless <paramref name="result"/> is <see cref="CUResult.Success"/>.</summary>
    /// <param name="call">The calling expression, from which the name is taken.</param>
    internal static void Check(CUResult result, [CallerArgumentExpression(nameof(result))] string call = "")
    {
        if (result != CUResult.Success)
            throw new CudaException(result, CallName(call));
    }

    /// <summary>The name of the native function in an expression like <c>Streams.cuStreamQuery(_stream)</c>.</summary>
    internal static string CallName(string expression)
    {
        int end = expression.IndexOf('(', StringComparison.Ordinal);
        string path = end < 0 ? expression : expression[..end];
        return path[(path.LastIndexOf('.') + 1)..];
    }

    private static string Name(CUResult error)
    {
        nint name = 0;
        return ErrorHandling.cuGetErrorName(error, ref name) == CUResult.Success ? Marshal.PtrToStringUTF8(name)! : error.ToString();
    }

    private static string Text(CUResult error)
    {
        nint text = 0;
        return ErrorHandling.cuGetErrorString(error, ref text) == CUResult.Success
            ? Marshal.PtrToStringUTF8(text)!
            : "unknown error code";
    }
}
