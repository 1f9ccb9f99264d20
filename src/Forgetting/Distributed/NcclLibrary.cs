using System.Runtime.InteropServices;
using Forgetting.Core;

namespace Forgetting.Distributed;

/// <summary>Element types as NCCL numbers them.</summary>
internal enum NcclType
{
    /// <summary>Bytes.</summary>
    UInt8 = 1,

    /// <summary>binary32.</summary>
    Float32 = 7,
}

/// <summary>What names a communicator while it is made; opaque.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NcclId
{
    /// <summary>Bytes of an id.</summary>
    public const int Bytes = 128;

    /// <summary>The id.</summary>
    public fixed byte Value[Bytes];
}

/// <summary>The functions of NCCL 2 that are used here, by function pointer.</summary>
internal sealed unsafe class NcclLibrary
{
    private const int Sum = 0, InProgress = 7;

    private readonly delegate* unmanaged[Cdecl]<NcclId*, int> _getUniqueId;
    private readonly delegate* unmanaged[Cdecl]<nint*, int, NcclId, int, int> _initRank;
    private readonly delegate* unmanaged[Cdecl]<nint, int> _destroy;
    private readonly delegate* unmanaged[Cdecl]<nint, int> _abort;
    private readonly delegate* unmanaged[Cdecl]<nint, int*, int> _asyncError;
    private readonly delegate* unmanaged[Cdecl]<int, byte*> _errorString;
    private readonly delegate* unmanaged[Cdecl]<nint, byte*> _lastError; // from 2.13 on
    private readonly delegate* unmanaged[Cdecl]<int> _groupStart;
    private readonly delegate* unmanaged[Cdecl]<int> _groupEnd;
    private readonly delegate* unmanaged[Cdecl]<nint, nint, nuint, int, int, nint, nint, int> _allReduce;
    private readonly delegate* unmanaged[Cdecl]<nint, nint, nuint, int, int, nint, nint, int> _reduceScatter;
    private readonly delegate* unmanaged[Cdecl]<nint, nint, nuint, int, nint, nint, int> _allGather;
    private readonly delegate* unmanaged[Cdecl]<nint, nint, nuint, int, int, nint, nint, int> _broadcast;

    /// <summary>Loads the library.</summary>
    /// <param name="path">Path of a library that has its functions, or null for NCCL itself.</param>
    /// <exception cref="UserException">It is not found.</exception>
    public NcclLibrary(string? path)
    {
        string name = path ?? "libnccl.so.2";
        if (!NativeLibrary.TryLoad(name, out nint library))
        {
            throw new UserException(
                $"several ranks on cards need NCCL, and {name} is not found; expected it where the loader looks (LD_LIBRARY_PATH): "
                + "apt-get install libnccl2");
        }

        nint Find(string function) => NativeLibrary.GetExport(library, function);
        _getUniqueId = (delegate* unmanaged[Cdecl]<NcclId*, int>)Find("ncclGetUniqueId");
        _initRank = (delegate* unmanaged[Cdecl]<nint*, int, NcclId, int, int>)Find("ncclCommInitRank");
        _destroy = (delegate* unmanaged[Cdecl]<nint, int>)Find("ncclCommDestroy");
        _abort = (delegate* unmanaged[Cdecl]<nint, int>)Find("ncclCommAbort");
        _asyncError = (delegate* unmanaged[Cdecl]<nint, int*, int>)Find("ncclCommGetAsyncError");
        _errorString = (delegate* unmanaged[Cdecl]<int, byte*>)Find("ncclGetErrorString");
        _lastError = NativeLibrary.TryGetExport(library, "ncclGetLastError", out nint lastError)
            ? (delegate* unmanaged[Cdecl]<nint, byte*>)lastError : null;
        _groupStart = (delegate* unmanaged[Cdecl]<int>)Find("ncclGroupStart");
        _groupEnd = (delegate* unmanaged[Cdecl]<int>)Find("ncclGroupEnd");
        _allReduce = (delegate* unmanaged[Cdecl]<nint, nint, nuint, int, int, nint, nint, int>)Find("ncclAllReduce");
        _reduceScatter = (delegate* unmanaged[Cdecl]<nint, nint, nuint, int, int, nint, nint, int>)Find("ncclReduceScatter");
        _allGather = (delegate* unmanaged[Cdecl]<nint, nint, nuint, int, nint, nint, int>)Find("ncclAllGather");
        _broadcast = (delegate* unmanaged[Cdecl]<nint, nint, nuint, int, int, nint, nint, int>)Find("ncclBroadcast");
    }

    /// <summary>A name for a communicator to be made, which all its ranks must be told.</summary>
    public byte[] NewId()
    {
        NcclId id;
        Check(_getUniqueId(&id), "ncclGetUniqueId", 0);
        return new ReadOnlySpan<byte>(&id, NcclId.Bytes).ToArray();
    }

    /// <summary>Makes a rank's communicator; returns when all ranks have come.</summary>
    /// <param name="name">What <see cref="NewId"/> gave to one of them.</param>
    /// <returns>The communicator, of the device that is current.</returns>
    public nint Join(ReadOnlySpan<byte> name, int rank, int size)
    {
        NcclId id;
        name.CopyTo(new Span<byte>(&id, NcclId.Bytes));
        nint communicator;
        Check(_initRank(&communicator, size, id, rank), "ncclCommInitRank", 0);
        return communicator;
    }

    /// <summary>Destroys a communicator, of which nothing is under way.</summary>
    public void Destroy(nint communicator) => _ = _destroy(communicator);

    /// <summary>Ends what is under way, which waits for ranks that do not come. May be called by any thread.</summary>
    public void Abort(nint communicator) => _ = _abort(communicator);

    /// <summary>What went wrong with what is under way; null for nothing. May be called by any thread.</summary>
    public string? Failure(nint communicator)
    {
        int result;
        int status = _asyncError(communicator, &result);
        return status != 0 ? Text(status) : result is 0 or InProgress ? null : Text(result);
    }

    /// <summary>Several collectives as one.</summary>
    public void Group(Action collectives)
    {
        Check(_groupStart(), "ncclGroupStart", 0);
        collectives();
        Check(_groupEnd(), "ncclGroupEnd", 0);
    }

    /// <summary>Sums of Float32 elements over the ranks, in place.</summary>
    public void AllReduce(nint values, long count, nint communicator, nint stream) => Check(
        _allReduce(values, values, (nuint)count, (int)NcclType.Float32, Sum, communicator, stream), "ncclAllReduce", communicator);

    /// <summary>Sums of one part of the elements for each rank.</summary>
    /// <param name="count">Elements of a part.</param>
    public void ReduceScatter(nint values, nint own, long count, nint communicator, nint stream) => Check(
        _reduceScatter(values, own, (nuint)count, (int)NcclType.Float32, Sum, communicator, stream), "ncclReduceScatter", communicator);

    /// <summary>What all ranks have, each as many bytes.</summary>
    public void AllGather(nint own, nint all, long bytes, nint communicator, nint stream) => Check(
        _allGather(own, all, (nuint)bytes, (int)NcclType.UInt8, communicator, stream), "ncclAllGather", communicator);

    /// <summary>What one rank has, in place.</summary>
    public void Broadcast(nint values, long bytes, int root, nint communicator, nint stream) => Check(
        _broadcast(values, values, (nuint)bytes, (int)NcclType.UInt8, root, communicator, stream), "ncclBroadcast", communicator);

    private void Check(int result, string function, nint communicator)
    {
        if (result is 0 or InProgress)
            return;

        string more = _lastError == null ? "" : Marshal.PtrToStringUTF8((nint)_lastError(communicator)) ?? "";
        throw PeerException.OfLoss($"{function}: {Text(result)}{(more.Length > 0 ? $": {OneLine.Of(more)}" : "")}");
    }

    private string Text(int result) => Marshal.PtrToStringUTF8((nint)_errorString(result)) ?? $"code {result}";
}
