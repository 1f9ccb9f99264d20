using Forgetting.Distributed;

namespace Forgetting.Backends.Cuda;

/// <summary>The cards of several ranks.</summary>
internal static class CudaRanks
{
    /// <summary>
    /// Connects what lies on the ranks' cards: by NCCL, or where cards are emulated by the emulation's own; null where they compute on
    /// processors. To be disposed of before the backend.
    /// </summary>
    /// <exception cref="Core.UserException">NCCL is not found, or two ranks have the same card.</exception>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static NcclCommunicator? Connect(IProcessGroup ranks, IBackend backend) => backend is not CudaBackend cuda ? null
        : new NcclCommunicator(ranks, new RankCard(
            cuda.IsEmulated ? NativeFiles.Emulation : null, cuda.IsEmulated ? "" : cuda.Name, cuda.Device.Stream.Pointer,
            cuda.Device.MakeCurrent, cuda.Synchronize));
}
