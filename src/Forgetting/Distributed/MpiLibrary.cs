using System.Runtime.InteropServices;
using Forgetting.Core;

namespace Forgetting.Distributed;

/// <summary>Implementations of MPI whose binary interfaces differ.</summary>
internal enum MpiFlavor
{
    /// <summary>Open MPI 2 to 5: handles are addresses of objects that the library exports.</summary>
    OpenMpi,

    /// <summary>MPICH 3.1 and later, and what keeps to its binary interface: handles are 32-bit integers.</summary>
    Mpich,
}

/// <summary>
/// The functions of an MPI library that are used here, by function pointer. Handles are passed as machine words to both implementations:
/// an integer of 32 bits goes in the low half of the same register, and the one that is written, that of a request, is read back from the
/// low half of a word that was zero.
/// </summary>
internal sealed unsafe partial class MpiLibrary
{
    private const int Serialized = 2; // MPI_THREAD_SERIALIZED, the same in both

    private readonly delegate* unmanaged[Cdecl]<void*, void*, int, int*, int> _initThread;
    private readonly delegate* unmanaged[Cdecl]<nint, int*, int> _rank;
    private readonly delegate* unmanaged[Cdecl]<nint, int*, int> _size;
    private readonly delegate* unmanaged[Cdecl]<nint, nint, int> _setErrorHandler;
    private readonly delegate* unmanaged[Cdecl]<void*, int, nint, int, int, nint, nint*, int> _send;
    private readonly delegate* unmanaged[Cdecl]<void*, int, nint, int, int, nint, nint*, int> _receive;
    private readonly delegate* unmanaged[Cdecl]<nint*, int*, nint, int> _test;
    private readonly delegate* unmanaged[Cdecl]<int, int, nint, int*, nint, int> _probe;
    private readonly delegate* unmanaged[Cdecl]<int> _finalize;
    private readonly string _name;
    private readonly nint _world;
    private readonly nint _bytes;
    private readonly nint _errorsReturn;
    private readonly nint _statusIgnore;
    private readonly int _anySource;

    /// <summary>Loads the library that belongs to a launcher.</summary>
    /// <exception cref="UserException">It is not found.</exception>
    public MpiLibrary(MpiFlavor flavor)
    {
        bool open = flavor == MpiFlavor.OpenMpi;
        string[] names = open ? ["libmpi.so.40"] : ["libmpich.so.12", "libmpi.so.12"];
        _name = open ? "Open MPI" : "MPICH";
        nint library = 0;
        if (!Array.Exists(names, name => NativeLibrary.TryLoad(name, out library)))
        {
            throw new UserException(
                $"this process was started by the launcher of {_name}, and {string.Join(" or ", names)} is not found; "
                + "expected it where the loader looks (LD_LIBRARY_PATH)");
        }

        // The values are those of the implementations' mpi.h.
        _world = open ? NativeLibrary.GetExport(library, "ompi_mpi_comm_world") : 0x44000000;
        _bytes = open ? NativeLibrary.GetExport(library, "ompi_mpi_byte") : 0x4c00010d;
        _errorsReturn = open ? NativeLibrary.GetExport(library, "ompi_mpi_errors_return") : 0x54000001;
        _statusIgnore = open ? 0 : 1;
        _anySource = open ? -1 : -2;

        _initThread =
            (delegate* unmanaged[Cdecl]<void*, void*, int, int*, int>)NativeLibrary.GetExport(library, "MPI_Init_thread");
        _rank = (delegate* unmanaged[Cdecl]<nint, int*, int>)NativeLibrary.GetExport(library, "MPI_Comm_rank");
        _size = (delegate* unmanaged[Cdecl]<nint, int*, int>)NativeLibrary.GetExport(library, "MPI_Comm_size");
        _setErrorHandler = (delegate* unmanaged[Cdecl]<nint, nint, int>)NativeLibrary.GetExport(library, "MPI_Comm_set_errhandler");
        _send = (delegate* unmanaged[Cdecl]<void*, int, nint, int, int, nint, nint*, int>)NativeLibrary.GetExport(library, "MPI_Isend");
        _receive = (delegate* unmanaged[Cdecl]<void*, int, nint, int, int, nint, nint*, int>)NativeLibrary.GetExport(library, "MPI_Irecv");
        _test = (delegate* unmanaged[Cdecl]<nint*, int*, nint, int>)NativeLibrary.GetExport(library, "MPI_Test");
        _probe = (delegate* unmanaged[Cdecl]<int, int, nint, int*, nint, int>)NativeLibrary.GetExport(library, "MPI_Iprobe");
        _finalize = (delegate* unmanaged[Cdecl]<int>)NativeLibrary.GetExport(library, "MPI_Finalize");
    }

    /// <summary>
    /// Begins; the library may be called from several threads, of which one at a time.
    /// </summary>
    /// <returns>Rank and number of ranks.</returns>
    /// <exception cref="UserException">The library does not begin, or only for one thread.</exception>
    public (int Rank, int Size) Begin()
    {
        int provided, rank, size;
        bool began = _initThread(null, null, Serialized, &provided) == 0;
        if (!began || provided < Serialized)
        {
            string what = began ? $"gives thread level {provided}, expected {Serialized} (MPI_THREAD_SERIALIZED)" : "failed";
            throw new UserException($"{_name}: MPI_Init_thread {what}");
        }

        Check(_setErrorHandler(_world, _errorsReturn), "MPI_Comm_set_errhandler");
        Check(_rank(_world, &rank), "MPI_Comm_rank");
        Check(_size(_world, &size), "MPI_Comm_size");
        return (rank, size);
    }

    /// <summary>Begins to send; the memory is read until <see cref="IsDone"/>.</summary>
    /// <returns>The request.</returns>
    public nint Send(void* memory, int bytes, int to, int tag)
    {
        nint request = 0;
        Check(_send(memory, bytes, _bytes, to, tag, _world, &request), "MPI_Isend");
        return request;
    }

    /// <summary>Begins to receive; the memory is written until <see cref="IsDone"/>.</summary>
    /// <param name="from">A rank; null for any.</param>
    /// <returns>The request.</returns>
    public nint Receive(void* memory, int bytes, int? from, int tag)
    {
        nint request = 0;
        Check(_receive(memory, bytes, _bytes, from ?? _anySource, tag, _world, &request), "MPI_Irecv");
        return request;
    }

    /// <summary>Whether a request is done; it is gone then.</summary>
    public bool IsDone(ref nint request)
    {
        int done;
        fixed (nint* pointer = &request)
        {
            Check(_test(pointer, &done, _statusIgnore), "MPI_Test");
        }

        return done != 0;
    }

    /// <summary>Whether a message of a tag is waiting, from whatever rank.</summary>
    public bool IsWaiting(int tag)
    {
        int waiting;
        Check(_probe(_anySource, tag, _world, &waiting, _statusIgnore), "MPI_Iprobe");
        return waiting != 0;
    }

    /// <summary>Ends; all ranks must have done all that they began.</summary>
    public void End() => Check(_finalize(), "MPI_Finalize");

    private void Check(int code, string function)
    {
        if (code != 0)
            throw new PeerException($"error: {_name}: {function} failed with code {code}", PeerException.Lost);
    }
}
