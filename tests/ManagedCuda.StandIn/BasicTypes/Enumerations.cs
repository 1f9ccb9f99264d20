namespace ManagedCuda.BasicTypes;

public enum CUResult
{
    Success = 0,
    ErrorInvalidValue = 1,
    ErrorOutOfMemory = 2,
    ErrorNoDevice = 100,
    ErrorInvalidImage = 200,
    ErrorInvalidContext = 201,
    ErrorFileNotFound = 301,
    ErrorNotFound = 500,
    ErrorNotReady = 600,
    ErrorIllegalAddress = 700,
    ErrorLaunchOutOfResources = 701,
    ErrorMisalignedAddress = 716,
    ErrorLaunchFailed = 719,
    ErrorStreamCaptureUnsupported = 900,
    ErrorStreamCaptureInvalidated = 901,
    ErrorStreamCaptureUnjoined = 904,
    ErrorStreamCaptureImplicit = 906,
    ErrorCapturedEvent = 907,
    ErrorStreamCaptureWrongThread = 908,
}

public enum CUStreamFlags : uint
{
    None = 0,
    NonBlocking = 1,
}

public enum CUEventFlags
{
    Default = 0,
    DisableTiming = 2,
}

public enum CUstreamCaptureMode
{
    Global = 0,
    Local = 1,
    Relaxed = 2,
}

public enum CUgraphInstantiate_flags : ulong
{
    None = 0,
}

public enum cudaDataType
{
    CUDA_R_32F = 0,
    CUDA_R_16BF = 14,
}
