// Philox 4×32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11): replaces a counter by its random words, so that a
// number belongs to a place and not to the order in which places are visited.
#pragma once
#include "portable.cuh"

__device__ inline void philox(unsigned int (&word)[4], unsigned int key0, unsigned int key1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned long long p = 0xD2511F53ull * word[0], q = 0xCD9E8D57ull * word[2];
        word[0] = (unsigned int)(q >> 32) ^ word[1] ^ key0;
        word[1] = (unsigned int)q;
        word[2] = (unsigned int)(p >> 32) ^ word[3] ^ key1;
        word[3] = (unsigned int)p;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}
