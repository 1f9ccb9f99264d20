// Moving whole rows and column ranges. Elements are copied as bits, so the suffix is the width of one access in bits and all counts are in
// accesses: the launcher picks the widest of 128, 32 and 16 that divides every address, row and column range.
//
//   gather_rows    y[t] = table[rows[t]]       table [V, C], rows [1, T], y [T, C]
//   scatter_rows   y[rows[t]] = x[t]           x's rows `stride` apart; rows distinct, so no two threads write one element
//   copy_columns   destination[t, destinationColumn + c] = source[t, sourceColumn + c], c < count
//
// Launch of all: one block a row (no division on the way), a thread for each access of the row, rounded up to a warp, between 32 and 512.
#include "include/pack.cuh"

template <typename Word> __device__ void copy_row(const Word* source, Word* destination, int C) {
    for (int c = threadIdx.x; c < C; c += blockDim.x) {
        destination[c] = source[c];
    }
}

template <typename Word> __device__ void gather_rows(const Word* table, const int* rows, Word* y, int C) {
    copy_row(table + (long long)rows[blockIdx.x] * C, y + (long long)blockIdx.x * C, C);
}

template <typename Word> __device__ void scatter_rows(const Word* x, int stride, const int* rows, Word* y, int C) {
    copy_row(x + (long long)blockIdx.x * stride, y + (long long)rows[blockIdx.x] * C, C);
}

// The pointers stand at the first column copied; strides are the tensors' rows.
template <typename Word>
__device__ void copy_columns(const Word* source, int sourceStride, Word* destination, int destinationStride, int count) {
    copy_row(source + (long long)blockIdx.x * sourceStride, destination + (long long)blockIdx.x * destinationStride, count);
}

typedef unsigned short word16;
typedef unsigned int word32;
typedef uint4 word128;

KERNEL(gather_rows_x16, const word16* table, const int* rows, word16* y, int C) { gather_rows(table, rows, y, C); }
KERNEL(gather_rows_x32, const word32* table, const int* rows, word32* y, int C) { gather_rows(table, rows, y, C); }
KERNEL(gather_rows_x128, const word128* table, const int* rows, word128* y, int C) { gather_rows(table, rows, y, C); }
KERNEL(scatter_rows_x16, const word16* x, int stride, const int* rows, word16* y, int C) { scatter_rows(x, stride, rows, y, C); }
KERNEL(scatter_rows_x32, const word32* x, int stride, const int* rows, word32* y, int C) { scatter_rows(x, stride, rows, y, C); }
KERNEL(scatter_rows_x128, const word128* x, int stride, const int* rows, word128* y, int C) { scatter_rows(x, stride, rows, y, C); }

KERNEL(copy_columns_x16, const word16* source, int sourceStride, word16* destination, int destinationStride, int count) {
    copy_columns(source, sourceStride, destination, destinationStride, count);
}
KERNEL(copy_columns_x32, const word32* source, int sourceStride, word32* destination, int destinationStride, int count) {
    copy_columns(source, sourceStride, destination, destinationStride, count);
}
KERNEL(copy_columns_x128, const word128* source, int sourceStride, word128* destination, int destinationStride, int count) {
    copy_columns(source, sourceStride, destination, destinationStride, count);
}
