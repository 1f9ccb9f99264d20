// cuBLAS: the dense products the program uses, column-major as there, fp32 or bf16 with fp32 sums.
#include "driver.h"

#include "../bfloat16.h"
#include <algorithm>
#include <string.h>

struct cublasContext {
    CUstream stream = nullptr;
    void* workspace = nullptr; // null: the library's own
    size_t workspace_bytes = 0;
};

using namespace emulation;

namespace {

enum Operation : int { kNone = 0, kTranspose = 1 };
constexpr int kPointerModeHost = 0;

struct Matrix {
    const void* data;
    cudaDataType type;
    int rows, columns;
    long long leading;

    const char* column(long long j) const { return static_cast<const char*>(data) + j * leading * size(); }
    long long size() const { return type == CUDA_R_32F ? 4 : 2; }
    float at(long long i, long long j) const {
        if (type == CUDA_R_32F) {
            return reinterpret_cast<const float*>(data)[i + j * leading];
        }
        return __bfloat162float(reinterpret_cast<const __nv_bfloat16*>(data)[i + j * leading]);
    }
    void set(long long i, long long j, float value) const {
        if (type == CUDA_R_32F) {
            static_cast<float*>(const_cast<void*>(data))[i + j * leading] = value;
        } else {
            static_cast<__nv_bfloat16*>(const_cast<void*>(data))[i + j * leading] = __float2bfloat16_rn(value);
        }
    }
};

struct Product {
    bool transpose_a, transpose_b;
    int m, n, k;
    float alpha, beta;
    Matrix a, b, c;
};

Violation check(const Matrix& matrix, bool read, bool write) {
    bool whole = matrix.leading == matrix.rows;
    long long pieces = whole ? 1 : matrix.columns;
    size_t bytes = static_cast<size_t>((whole ? static_cast<long long>(matrix.rows) * matrix.columns : matrix.rows) * matrix.size());
    DeviceMemory& memory = DeviceMemory::instance();
    Violation found;
    for (long long j = 0; j < pieces && !found; j++) {
        if (read) {
            found = memory.read(matrix.column(j), bytes);
        }
        if (write && !found) {
            found = memory.write(matrix.column(j), bytes);
        }
    }
    return found;
}

// A tile of kTileRows × kTileColumns sums stays in registers; both operands are packed to fp32 in the order they are read.
constexpr int kTileRows = 16, kTileColumns = 6, kBlockColumns = 32 * kTileColumns;
typedef float Vector __attribute__((vector_size(32)));

__attribute__((target_clones("arch=haswell", "default"))) void tile(int k, const float* a, const float* b, float* sums) {
    Vector c[kTileColumns][2] = {};
    for (int p = 0; p < k; p++) {
        Vector a0, a1;
        memcpy(&a0, a + p * kTileRows, sizeof a0);
        memcpy(&a1, a + p * kTileRows + 8, sizeof a1);
        for (int j = 0; j < kTileColumns; j++) {
            float value = b[p * kTileColumns + j];
            c[j][0] += a0 * value;
            c[j][1] += a1 * value;
        }
    }
    memcpy(sums, c, sizeof c);
}

void multiply(const Product& product) {
    const int m = product.m, n = product.n, k = product.k;
    std::vector<float> a(static_cast<size_t>(k) * kTileRows), b(static_cast<size_t>(k) * kBlockColumns);
    float sums[kTileColumns * kTileRows];
    for (int j0 = 0; j0 < n; j0 += kBlockColumns) {
        int columns = std::min(kBlockColumns, n - j0);
        for (int j = 0; j < (columns + kTileColumns - 1) / kTileColumns * kTileColumns; j++) {
            float* packed = b.data() + static_cast<size_t>(j / kTileColumns) * static_cast<size_t>(k) * kTileColumns + j % kTileColumns;
            for (int p = 0; p < k; p++) {
                packed[static_cast<size_t>(p) * kTileColumns] =
                    j >= columns ? 0.0f : product.transpose_b ? product.b.at(j0 + j, p) : product.b.at(p, j0 + j);
            }
        }
        for (int i0 = 0; i0 < m; i0 += kTileRows) {
            int rows = std::min(kTileRows, m - i0);
            for (int i = 0; i < kTileRows; i++) {
                for (int p = 0; p < k; p++) {
                    a[static_cast<size_t>(p) * kTileRows + static_cast<size_t>(i)] =
                        i >= rows ? 0.0f : product.transpose_a ? product.a.at(p, i0 + i) : product.a.at(i0 + i, p);
                }
            }
            for (int j1 = 0; j1 < columns; j1 += kTileColumns) {
                tile(k, a.data(), b.data() + static_cast<size_t>(j1) * static_cast<size_t>(k), sums);
                for (int j = 0; j < std::min(kTileColumns, columns - j1); j++) {
                    for (int i = 0; i < rows; i++) {
                        float value = product.alpha * sums[j * kTileRows + i];
                        if (product.beta != 0) {
                            value += product.beta * product.c.at(i0 + i, j0 + j1 + j);
                        }
                        product.c.set(i0 + i, j0 + j1 + j, value);
                    }
                }
            }
        }
    }
}

CUresult run_product(const char* call, const Product& product) {
    const char* names[] = {"A", "B", "C"};
    const Matrix* matrices[] = {&product.a, &product.b, &product.c};
    for (int i = 0; i < 3; i++) {
        Violation found = check(*matrices[i], i < 2 || product.beta != 0, i == 2);
        if (found) {
            return fail(found.status, format("%s: matrix %s: %s", call, names[i], found.text.c_str()));
        }
    }
    multiply(product);
    return CUDA_SUCCESS;
}

cublasStatus_t invalid(const char* call, const char* what) {
    fail(CUDA_ERROR_INVALID_VALUE, format("%s: %s", call, what));
    return CUBLAS_STATUS_INVALID_VALUE;
}

bool known(int type) { return type == CUDA_R_32F || type == CUDA_R_16BF; }

} // namespace

CUDA_EXPORT cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
    Call call("cublasCreate");
    if (call.status != CUDA_SUCCESS) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    *handle = new cublasContext();
    return CUBLAS_STATUS_SUCCESS;
}

CUDA_EXPORT cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

CUDA_EXPORT cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
    *version = 120400;
    return CUBLAS_STATUS_SUCCESS;
}

CUDA_EXPORT cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, CUstream stream) {
    *handle = {stream}; // and back to the library's own workspace
    return CUBLAS_STATUS_SUCCESS;
}

CUDA_EXPORT cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, CUstream* stream) {
    *stream = handle->stream;
    return CUBLAS_STATUS_SUCCESS;
}

CUDA_EXPORT cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
    if (reinterpret_cast<uintptr_t>(workspace) % 256 != 0) {
        return invalid("cublasSetWorkspace", "the workspace is not aligned to 256 bytes");
    }
    handle->workspace = workspace;
    handle->workspace_bytes = bytes;
    return CUBLAS_STATUS_SUCCESS;
}

CUDA_EXPORT cublasStatus_t cublasSetMathMode(cublasHandle_t, int) { return CUBLAS_STATUS_SUCCESS; }

CUDA_EXPORT cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t, int mode) {
    return mode == kPointerModeHost ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

CUDA_EXPORT const char* cublasGetStatusName(cublasStatus_t status) {
    switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    }
    return "unknown cuBLAS status";
}

// As with cuGetErrorString: what the last failure was about.
CUDA_EXPORT const char* cublasGetStatusString(cublasStatus_t status) {
    const char* text = status == CUBLAS_STATUS_SUCCESS ? nullptr : last_failure_text();
    return text == nullptr ? cublasGetStatusName(status) : text;
}

CUDA_EXPORT cublasStatus_t cublasGemmEx(cublasHandle_t handle, int operation_a, int operation_b, int m, int n, int k, const void* alpha,
                                        const void* a, int type_a, int lda, const void* b, int type_b, int ldb, const void* beta, void* c,
                                        int type_c, int ldc, int, int) {
    constexpr const char* kName = "cublasGemmEx";
    Call call(kName);
    if (call.status != CUDA_SUCCESS || handle == nullptr) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    if (m < 0 || n < 0 || k < 0) {
        return invalid(kName, "a negative size");
    }
    if (!known(type_a) || type_a != type_b || !known(type_c) || operation_a > kTranspose || operation_b > kTranspose) {
        fail(CUDA_ERROR_INVALID_VALUE, format("%s: only fp32 and bf16, normal and transposed, are emulated", kName));
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    Product product = {operation_a == kTranspose, operation_b == kTranspose, m, n, k, *static_cast<const float*>(alpha),
                       *static_cast<const float*>(beta), {}, {}, {}};
    int rows_a = product.transpose_a ? k : m, rows_b = product.transpose_b ? n : k;
    if (lda < std::max(1, rows_a) || ldb < std::max(1, rows_b) || ldc < std::max(1, m)) {
        return invalid(kName, "a leading dimension is smaller than the matrix has rows");
    }
    product.a = {a, static_cast<cudaDataType>(type_a), rows_a, product.transpose_a ? m : k, lda};
    product.b = {b, static_cast<cudaDataType>(type_b), rows_b, product.transpose_b ? k : n, ldb};
    product.c = {c, static_cast<cudaDataType>(type_c), m, n, ldc};
    auto workspace = reinterpret_cast<CUdeviceptr>(handle->workspace);
    size_t bytes = handle->workspace_bytes;
    auto run = [=] {
        CUdeviceptr base;
        size_t size;
        bool there = workspace == 0 || (DeviceMemory::instance().range(workspace, &base, &size) && workspace + bytes <= base + size);
        return there ? run_product(kName, product)
                     : fail(CUDA_ERROR_ILLEGAL_ADDRESS, format("%s: the workspace is not device memory", kName));
    };
    return submit(call, handle->stream, run) == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
