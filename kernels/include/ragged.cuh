// Work on ragged batches without the host knowing the lengths.
//
// `offsets` [n + 1] lies on the device, so the host cannot size a grid by the number of tiles that the sequences have. It needn't: cut each
// sequence into tiles of `size` rows and give sequence s the slots from ⌊offsets[s] / size⌋ + s on. Its ⌈length / size⌉ tiles fit below
// the first slot of s + 1, since ⌊a⌋ + ⌈b⌉ ≤ ⌊a + b⌋ + 1, and T / size + n slots suffice for the batch. Slots left over find no tile.
// Tiles begin at the sequence's own first row, so that a result does not depend on where in the batch a sequence lies.
#pragma once
#include "portable.cuh"

struct Tile {
    int sequence;
    int begin; // first row of the sequence
    int end;   // one past its last row
    int first; // first row of the tile; at or past `end` where the slot has no tile
    __device__ bool empty() const { return first >= end; }
};

// First slot of sequence s.
__device__ inline int first_slot(const int* offsets, int s, int size) { return offsets[s] / size + s; }

__device__ inline Tile tile_of_slot(const int* offsets, int sequences, int slot, int size) {
    int low = 0, high = sequences - 1; // the last s with first_slot(s) ≤ slot
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (first_slot(offsets, middle, size) <= slot) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Tile tile;
    tile.sequence = low;
    tile.begin = offsets[low];
    tile.end = offsets[low + 1];
    tile.first = tile.begin + (slot - first_slot(offsets, low, size)) * size;
    return tile;
}

// The sequence that row t belongs to: the last s with offsets[s] ≤ t.
__device__ inline int sequence_of_row(const int* offsets, int sequences, int t) {
    int low = 0, high = sequences - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (offsets[middle] <= t) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}
