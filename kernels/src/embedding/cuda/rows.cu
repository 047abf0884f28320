// Rows of a table: neighbouring threads have neighbouring columns, so that loads and stores are whole transactions.
//
// Forward a thread has an element of y. Backward a thread owns an element of the gradient of the table, reads all ids in their order and
// adds what belongs to its row: no atomics, and the order is that of the specification. That is v · n comparisons for each column, of an id that
// the warp has from a cache at one address; it pays where the table is small, and is slow for a large one. An id that is no row reads
// nothing, and gives NaN.
#include "numbers.cuh"

template <class E> __device__ __forceinline__ void forward(u32 v, u32 c, u64 elements, const E* table, const u32* ids, float* y) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= elements) return;
    u32 id = ids[i / c];
    if (id < v) convert(table[u64(id) * c + i % c], y[i]);
    else y[i] = __uint_as_float(0x7fffffffu);
}

extern "C" __global__ void __launch_bounds__(256)
    embedding_rows_forward(u32 v, u32 c, u64 elements, const float* table, const u32* ids, float* y) {
    forward(v, c, elements, table, ids, y);
}

extern "C" __global__ void __launch_bounds__(256)
    embedding_rows_forward_stored(u32 v, u32 c, u64 elements, const bf16* table, const u32* ids, float* y) {
    forward(v, c, elements, table, ids, y);
}

extern "C" __global__ void __launch_bounds__(256)
    embedding_rows_backward(u32 c, u64 elements, u32 n, const u32* ids, const float* dy, float* dtable) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= elements) return;
    u64 row = i / c, column = i % c;
    float sum = 0.0f;
    for (u32 k = 0; k < n; k++)
        if (ids[k] == row) sum += dy[u64(k) * c + column];
    dtable[i] = sum;
}
