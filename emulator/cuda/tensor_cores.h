// The twins of kernels/src/cuda/tensor_cores.cuh. They are written from the PTX manual, by the people who wrote the kernels, and so
// no independent proof of what a tensor core does.
#pragma once

namespace gradus {

struct MatrixFragments {
    uint32_t a[4], b[2];
};

// Number `index` of two in a register.
inline float half_of(uint32_t pair, unsigned index) { return __uint_as_float((index ? pair >> 16 : pair & 0xffffu) << 16); }

// Row `row` of A, and column `column` of B, of a product 16×8×16, gathered from the lanes that hold them.
inline void a_row(float (&to)[16], const Exchange& all, unsigned row, int line) {
    for (unsigned pair = 0; pair < 8; pair++) {
        const unsigned holder = row % 8 * 4 + pair % 4, which = row / 8 + pair / 4 * 2;
        const uint32_t both = all.of<MatrixFragments>(holder, line).a[which];
        to[2 * pair] = half_of(both, 0);
        to[2 * pair + 1] = half_of(both, 1);
    }
}
inline void b_column(float (&to)[16], const Exchange& all, unsigned column, int line) {
    for (unsigned pair = 0; pair < 8; pair++) {
        const unsigned holder = column * 4 + pair % 4;
        const uint32_t both = all.of<MatrixFragments>(holder, line).b[pair / 4];
        to[2 * pair] = half_of(both, 0);
        to[2 * pair + 1] = half_of(both, 1);
    }
}

inline void load_four(uint32_t (&r)[4], const void* row, bool transposed, int line) {
    if (uintptr_t(row) % 16 != 0) fail("a row for ldmatrix is not at a multiple of 16 bytes", line);
    const Exchange& rows = exchange(0xffffffffu, &row, sizeof(row), line);
    const unsigned lane = gradus::lane();
    for (unsigned matrix = 0; matrix < 4; matrix++) {
        uint32_t pair = 0;
        for (unsigned i = 0; i < 2; i++) {
            const unsigned r8 = transposed ? lane % 4 * 2 + i : lane / 4, c8 = transposed ? lane / 4 : lane % 4 * 2 + i;
            uint16_t element;
            std::memcpy(&element, static_cast<const unsigned char*>(rows.of<const void*>(matrix * 8 + r8, line)) + 2 * c8, 2);
            pair |= uint32_t(element) << 16 * i;
        }
        r[matrix] = pair;
    }
    exchange(0xffffffffu, nullptr, 0, line); // all lanes have read
}

} // namespace gradus

#define mma_16x8x16(c, a, b) gradus_mma(c, a, b, __LINE__)
#define load_matrices(r, row) gradus::load_four(r, row, false, __LINE__)
#define load_matrices_transposed(r, row) gradus::load_four(r, row, true, __LINE__)

inline void gradus_mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int line) {
    gradus::MatrixFragments mine;
    std::memcpy(mine.a, a, sizeof(a));
    std::memcpy(mine.b, b, sizeof(b));
    const gradus::Exchange& all = gradus::exchange(0xffffffffu, &mine, sizeof(mine), line);
    const unsigned g = gradus::lane() / 4, t = gradus::lane() % 4;
    float rows[2][16], columns[2][16];
    for (unsigned i = 0; i < 2; i++) {
        gradus::a_row(rows[i], all, g + 8 * i, line);
        gradus::b_column(columns[i], all, 2 * t + i, line);
    }
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned k = 0; k < 16; k++) c[i] += rows[i / 2][k] * columns[i % 2][k];
    }
}

inline void copy_async_16(void* shared, const void* global, bool inside) {
    if (uintptr_t(shared) % 16 != 0 || (inside && uintptr_t(global) % 16 != 0))
        gradus::fail("an asynchronous copy is not at a multiple of 16 bytes", 0);
    gradus::copy_async(shared, global, 16, inside ? 16 : 0);
}
inline void copy_async_commit() { gradus::commit_copies(); }
template <int PENDING> void copy_async_wait() { gradus::wait_copies(PENDING); }
