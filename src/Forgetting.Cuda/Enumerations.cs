namespace Forgetting.Cuda;

/// <summary>What a driver call returns, as in cuda.h.</summary>
public enum CUResult
{
    /// <summary>No error.</summary>
    Success = 0,

    /// <summary>An argument is outside its range.</summary>
    ErrorInvalidValue = 1,

    /// <summary>Not enough memory.</summary>
    ErrorOutOfMemory = 2,

    /// <summary>cuInit was not called or failed.</summary>
    ErrorNotInitialized = 3,

    /// <summary>The driver is shutting down.</summary>
    ErrorDeinitialized = 4,

    /// <summary>There is no CUDA device.</summary>
    ErrorNoDevice = 100,

    /// <summary>There is no device with this number.</summary>
    ErrorInvalidDevice = 101,

    /// <summary>A module's image is not valid.</summary>
    ErrorInvalidImage = 200,

    /// <summary>No context, or not a valid one, is current.</summary>
    ErrorInvalidContext = 201,

    /// <summary>A module has no code for this device.</summary>
    ErrorNoBinaryForGPU = 209,

    /// <summary>PTX does not compile.</summary>
    ErrorInvalidPtx = 218,

    /// <summary>PTX is newer than the driver.</summary>
    ErrorUnsupportedPTXVersion = 222,

    /// <summary>A file does not exist.</summary>
    ErrorFileNotFound = 301,

    /// <summary>A handle is not valid.</summary>
    ErrorInvalidHandle = 400,

    /// <summary>A name is not in the module.</summary>
    ErrorNotFound = 500,

    /// <summary>Work is not finished yet; not an error.</summary>
    ErrorNotReady = 600,

    /// <summary>A kernel accessed memory it may not.</summary>
    ErrorIllegalAddress = 700,

    /// <summary>A launch needs more than the device has.</summary>
    ErrorLaunchOutOfResources = 701,

    /// <summary>A kernel ran too long.</summary>
    ErrorLaunchTimeout = 702,

    /// <summary>An assertion in a kernel failed.</summary>
    ErrorAssert = 710,

    /// <summary>A kernel executed an invalid instruction.</summary>
    ErrorIllegalInstruction = 715,

    /// <summary>A kernel made a misaligned access.</summary>
    ErrorMisalignedAddress = 716,

    /// <summary>A kernel failed for some other reason.</summary>
    ErrorLaunchFailed = 719,

    /// <summary>A call that a capturing stream does not allow.</summary>
    ErrorStreamCaptureUnsupported = 900,

    /// <summary>An earlier error has ended the capture.</summary>
    ErrorStreamCaptureInvalidated = 901,

    /// <summary>A capture is ended in a stream in which it did not begin.</summary>
    ErrorStreamCaptureUnmatched = 903,

    /// <summary>A capture has work that was not joined to the stream in which it began.</summary>
    ErrorStreamCaptureUnjoined = 904,

    /// <summary>The default stream would depend on a capturing one.</summary>
    ErrorStreamCaptureImplicit = 906,

    /// <summary>An event of a capture cannot be waited for.</summary>
    ErrorCapturedEvent = 907,

    /// <summary>A capture is ended by another thread than the one that began it.</summary>
    ErrorStreamCaptureWrongThread = 908,

    /// <summary>An unknown error.</summary>
    ErrorUnknown = 999,
}

/// <summary>Attributes of a device, as CUdevice_attribute in cuda.h.</summary>
public enum CUDeviceAttribute
{
    /// <summary>Most threads of a block.</summary>
    MaxThreadsPerBlock = 1,

    /// <summary>Bytes of shared memory a block has without asking for more.</summary>
    MaxSharedMemoryPerBlock = 8,

    /// <summary>Threads of a warp.</summary>
    WarpSize = 10,

    /// <summary>Clock of the multiprocessors in kHz.</summary>
    ClockRate = 13,

    /// <summary>Number of multiprocessors.</summary>
    MultiProcessorCount = 16,

    /// <summary>Clock of the memory in kHz.</summary>
    MemoryClockRate = 36,

    /// <summary>Width of the memory bus in bits.</summary>
    GlobalMemoryBusWidth = 37,

    /// <summary>Bytes of second-level cache.</summary>
    L2CacheSize = 38,

    /// <summary>Most threads of a multiprocessor.</summary>
    MaxThreadsPerMultiProcessor = 39,

    /// <summary>First part of the compute capability.</summary>
    ComputeCapabilityMajor = 75,

    /// <summary>Second part of the compute capability.</summary>
    ComputeCapabilityMinor = 76,

    /// <summary>Bytes of shared memory of a multiprocessor.</summary>
    MaxSharedMemoryPerMultiprocessor = 81,

    /// <summary>Bytes of shared memory a block can ask for.</summary>
    MaxSharedMemoryPerBlockOptin = 97,
}

/// <summary>Attributes of a kernel, as CUfunction_attribute in cuda.h.</summary>
public enum CUFunctionAttribute
{
    /// <summary>Most threads of a block.</summary>
    MaxThreadsPerBlock = 0,

    /// <summary>Bytes of static shared memory.</summary>
    SharedSizeBytes = 1,

    /// <summary>Bytes of local memory of a thread.</summary>
    LocalSizeBytes = 3,

    /// <summary>Registers of a thread.</summary>
    NumRegs = 4,

    /// <summary>Most bytes of dynamic shared memory a launch may ask for.</summary>
    MaxDynamicSharedSizeBytes = 8,
}

/// <summary>How a stream relates to the default stream.</summary>
[Flags]
public enum CUStreamFlags : uint
{
    /// <summary>Work is ordered with the default stream's.</summary>
    None = 0,

    /// <summary>Work is not ordered with the default stream's.</summary>
    NonBlocking = 1,
}

/// <summary>Kinds of event.</summary>
[Flags]
public enum CUEventFlags : uint
{
    /// <summary>Spinning wait, with a time.</summary>
    Default = 0,

    /// <summary>Waiting gives up the processor.</summary>
    BlockingSync = 1,

    /// <summary>No time is taken, which is cheaper.</summary>
    DisableTiming = 2,
}

/// <summary>Which calls a capture forbids meanwhile.</summary>
public enum CUstreamCaptureMode
{
    /// <summary>Unsafe calls in any thread.</summary>
    Global = 0,

    /// <summary>Unsafe calls in this thread.</summary>
    Local = 1,

    /// <summary>None.</summary>
    Relaxed = 2,
}

/// <summary>State of a stream's capture.</summary>
public enum CUstreamCaptureStatus
{
    /// <summary>Not capturing.</summary>
    None = 0,

    /// <summary>Capturing.</summary>
    Active = 1,

    /// <summary>Ended by an error.</summary>
    Invalidated = 2,
}

#pragma warning disable CA1707 // CUDA's own name, as in ManagedCuda
/// <summary>Options of a graph's instantiation.</summary>
[Flags]
public enum CUgraphInstantiate_flags : ulong
{
    /// <summary>None.</summary>
    None = 0,
}
#pragma warning restore CA1707

/// <summary>Properties of page-locked host memory.</summary>
[Flags]
public enum CUMemHostAllocFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Page-locked for all contexts.</summary>
    Portable = 1,

    /// <summary>Visible to kernels.</summary>
    DeviceMap = 2,

    /// <summary>Faster for the device, slow for the host to read.</summary>
    WriteCombined = 4,
}
