// How a kernel of the emulator is found and run; what driver.cpp needs of runtime.cpp.
#pragma once

#include "emulator.h"
#include <string>
#include <utility>
#include <vector>

namespace gradus {

// A kernel, as its file registers it.
struct Kernel {
    const char* name;
    void (*call)(void** arguments);
    // Bytes of each argument.
    std::vector<size_t> sizes;
    // The shared arrays of its file.
    unsigned char *shared_begin, *shared_end;
};

// All kernels that are linked in.
std::vector<Kernel>& kernels();

struct Register {
    explicit Register(Kernel kernel) { kernels().push_back(std::move(kernel)); }
};

// Of internal linkage, because two files may have structs of the same name.
template <class... A, size_t... I>
static void call_with(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::decay_t<A>*>(arguments[I])...);
}
template <class... A> static void call(void (*kernel)(A...), void** arguments) {
    call_with(kernel, arguments, std::index_sequence_for<A...>());
}
template <class... A> static std::vector<size_t> sizes(void (*)(A...)) { return {sizeof(std::decay_t<A>)...}; }

// In which order the threads of a block go on.
struct Schedule {
    enum Kind { Forward, Reverse, Random, WarpAhead } kind;
    uint32_t seed;
};
extern Schedule schedule;

// Runs all blocks of a grid, one after the other. An empty string, or what is wrong with the kernel.
std::string launch(const Kernel& kernel, Index grid, Index block, size_t dynamic_shared, void** arguments);

} // namespace gradus

#define GRADUS_REGISTER(name, begin, end)                                                                             \
    static gradus::Register register_##name(                                                                          \
        {#name, [](void** arguments) { gradus::call(name, arguments); }, gradus::sizes(name), begin, end})
