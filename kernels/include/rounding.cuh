// Stochastic rounding to bfloat16: of the two nearest numbers each with the probability that makes the expectation exact.
//
// Element i takes 16 random bits of Philox with key (key[0], key[1]) and counter (stream, i / 8 low, i / 8 high, 0): of word i mod 8 / 2
// the half i mod 2, low before high. They are added to the 16 bits that bfloat16 has no room for, and what is carried counts. The key is
// read from memory, since it changes from pass to pass and the arguments of a captured launch do not.
#pragma once
#include "pack.cuh"
#include "philox.cuh"

struct Rounding {
    unsigned int key0, key1, stream;

    __device__ Rounding(const unsigned int* key, unsigned int stream) : key0(key[0]), key1(key[1]), stream(stream) {}

    // Elements i … i + N of which all have one counter, as floats that bfloat16 holds. What is no number, and infinity, stay as they are.
    template <int N> __device__ void apply(float (&x)[N], long long i) const {
        unsigned int word[4] = {stream, (unsigned int)(i / 8), (unsigned int)((i / 8) >> 32), 0};
        philox(word, key0, key1);
#pragma unroll
        for (int k = 0; k < N; k++) {
            int place = (int)(i % 8) + k;
            unsigned int pair = place < 2 ? word[0] : place < 4 ? word[1] : place < 6 ? word[2] : word[3];
            unsigned int random = place % 2 == 0 ? pair & 0xFFFFu : pair >> 16, bits = __float_as_uint(x[k]);
            if ((bits & 0x7F800000u) != 0x7F800000u) {
                x[k] = __uint_as_float((bits + random) & 0xFFFF0000u);
            }
        }
    }
};
