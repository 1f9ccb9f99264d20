// Which elements dropout drops, as a function of the place alone, so that forward and backward make the same mask without storing it.
//
// Column c of row t takes lane c mod 4 of Philox 4×32-10 (Salmon et al., SC'11) with key (seed[0], seed[1]) and counter (rowKeys[t], c / 4,
// stream, 0), and is kept when that word is at least `threshold` = ⌈rate·2³²⌉. The seed is read from memory, since it changes from step to
// step and the arguments of a captured launch do not. What is kept is to be multiplied by 1 / (1 − rate); the products do so once, to their
// result.
#pragma once
#include "pack.cuh"
#include "philox.cuh"

struct Dropout {
    const int* rowKeys;
    unsigned int key0, key1, stream, threshold;

    __device__ Dropout(const int* rowKeys, const unsigned int* seed, unsigned int stream, unsigned int threshold)
        : rowKeys(rowKeys), key0(seed[0]), key1(seed[1]), stream(stream), threshold(threshold) {}

    // Whether the four columns from `column` on, a multiple of 4, of a row are kept.
    __device__ void keep(unsigned int rowKey, int column, bool (&kept)[4]) const {
        unsigned int word[4] = {rowKey, (unsigned int)column / 4, stream, 0};
        philox(word, key0, key1);
#pragma unroll
        for (int lane = 0; lane < 4; lane++) {
            kept[lane] = word[lane] >= threshold;
        }
    }
};
