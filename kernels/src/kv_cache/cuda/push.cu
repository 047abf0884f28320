// An element of the new keys and values a thread, in the order in which they lie in the projection, so that loads are coalesced; stores are
// so within a head. A decoded token has a few thousand of them: what counts is that it is one launch, for both caches.
#include "numbers.cuh"

// The sizes of kv_cache/mod.rs.
struct Place {
    u32 t, h, h_kv, d, room, past;
};

template <class X, class C> __device__ __forceinline__ void push(const Place& place, u32 n, const X* qkv, C* k, C* v) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= n) return;
    u32 channel = u32(i) % place.d, row = u32(i) / place.d, head = row % (2 * place.h_kv), row_of = row / (2 * place.h_kv);
    u32 position = row_of % place.t, sequence = row_of / place.t;
    u64 from = (u64(row_of) * (place.h + 2 * place.h_kv) + place.h + head) * place.d + channel;
    C* cache = head < place.h_kv ? k : v;
    u64 to = (u64(sequence) * place.h_kv + head % place.h_kv) * place.room + place.past + position;
    convert(qkv[from], cache[to * place.d + channel]);
}

extern "C" __global__ void __launch_bounds__(256) kv_cache_push_f32_f32(Place place, u32 n, const float* qkv, float* k, float* v) {
    push(place, n, qkv, k, v);
}
extern "C" __global__ void __launch_bounds__(256) kv_cache_push_f32_bf16(Place place, u32 n, const float* qkv, bf16* k, bf16* v) {
    push(place, n, qkv, k, v);
}
extern "C" __global__ void __launch_bounds__(256) kv_cache_push_f64_f64(Place place, u32 n, const double* qkv, double* k, double* v) {
    push(place, n, qkv, k, v);
}
