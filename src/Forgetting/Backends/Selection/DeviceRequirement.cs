namespace Forgetting.Backends.Selection;

/// <summary>One of the things that computing on a card needs.</summary>
/// <param name="Name">What is needed: driver, card, compute capability, kernels, cuBLAS or memory.</param>
/// <param name="Holds">Whether it is there and works; null where it was not tried, because an earlier one is missing.</param>
/// <param name="Found">What was found.</param>
/// <param name="Remedy">What would change it; empty unless <paramref name="Holds"/> is false.</param>
internal sealed record DeviceRequirement(string Name, bool? Holds, string Found, string Remedy);
