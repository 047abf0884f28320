// CUDA C for a C++ compiler: what a kernel of `kernels/src/*/cuda` may use, with the meaning that the CUDA C++ Programming
// Guide gives it, for one block at a time. It is included before the kernel's own text.
//
// The threads of a block are fibers of one thread of the system. What happens at a barrier or in an exchange between the lanes of
// a warp is in runtime.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define GRADUS_EMULATOR 1

#define __global__
#define __device__ [[maybe_unused]] static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// Of each file's shared arrays the linker makes one section, which is filled with NaN before a block begins.
#define __shared__ static __attribute__((section(GRADUS_SHARED_SECTION)))

namespace gradus {

struct Index {
    unsigned x, y, z;
};

// What a thread knows of itself.
struct Place {
    Index thread, block, block_size, grid_size;
    unsigned char* dynamic_shared;
};

extern Place* place;

constexpr size_t LANES = 32;
constexpr size_t SLOT = 64;

// What the lanes of a warp gave to an exchange.
struct Exchange {
    alignas(16) unsigned char slot[LANES][SLOT];
    uint32_t lanes;

    // What `lane` gave; a lane that took no part has given nothing, which is an error of the kernel.
    template <class T> T of(unsigned lane, int line) const;
};

void sync_threads(int line);
// Gives `size` bytes to the other lanes of `mask` and waits for theirs. The result holds until the exchange after the next.
const Exchange& exchange(uint32_t mask, const void* given, size_t size, int line);
[[noreturn]] void fail(const char* what, int line);

// Copies that take place when the thread waits for them; at once where the schedule has a warp ahead.
void copy_async(void* shared, const void* global, size_t size, size_t valid);
void commit_copies();
void wait_copies(unsigned pending);

template <class T> T Exchange::of(unsigned lane, int line) const {
    static_assert(sizeof(T) <= SLOT);
    if (lane >= LANES || !(lanes >> lane & 1)) fail("a value is taken from a lane that takes no part in the exchange", line);
    T value;
    std::memcpy(&value, slot[lane], sizeof(T));
    return value;
}

inline unsigned linear_thread() {
    const Place& p = *place;
    return p.thread.x + p.block_size.x * (p.thread.y + p.block_size.y * p.thread.z);
}

inline unsigned lane() { return linear_thread() % LANES; }

template <class T> T shuffle(uint32_t mask, T value, unsigned source, int line) {
    return exchange(mask, &value, sizeof(T), line).template of<T>(source, line);
}

} // namespace gradus

#define threadIdx (gradus::place->thread)
#define blockIdx (gradus::place->block)
#define blockDim (gradus::place->block_size)
#define gridDim (gradus::place->grid_size)

#define __syncthreads() gradus::sync_threads(__LINE__)
#define __syncwarp(...) ((void)gradus::exchange(0xffffffffu, nullptr, 0, __LINE__))
#define __shfl_sync(mask, value, source) gradus::shuffle(mask, value, source, __LINE__)
#define __shfl_xor_sync(mask, value, bits) gradus::shuffle(mask, value, gradus::lane() ^ (bits), __LINE__)
// Past the last lane a thread gets its own value back.
#define __shfl_down_sync(mask, value, distance)                                                                       \
    gradus::shuffle(mask, value,                                                                                      \
                    gradus::lane() + (distance) < gradus::LANES ? gradus::lane() + (distance) : gradus::lane(), __LINE__)
#define __shfl_up_sync(mask, value, distance)                                                                         \
    gradus::shuffle(mask, value, gradus::lane() >= (distance) ? gradus::lane() - (distance) : gradus::lane(), __LINE__)

#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(gradus::place->dynamic_shared)

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

template <class To, class From> To gradus_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof(To));
    return to;
}
inline unsigned __float_as_uint(float x) { return gradus_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return gradus_bits<float>(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }
template <class T> T __ldg(const T* at) { return *at; }
using std::max;
using std::min;
