// A CUDA driver that runs the emulator: the functions of the CUDA Driver API that `kernels/src/cuda` calls.
//
// Everything is done at once and in the order of the calls, as on a device with a single stream. A buffer ends at the end of
// a page that is followed by one that cannot be touched, so that a kernel which goes past it ends the process there.
#include "runtime.h"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

// Values of CUresult.
enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_DEVICE = 101,
    NO_BINARY_FOR_GPU = 209,
    INVALID_PTX = 218,
    NOT_FOUND = 500,
    LAUNCH_FAILED = 719,
};

// Values of CUdevice_attribute and CUfunction_attribute.
enum Attribute {
    MAX_THREADS = 1,
    SHARED_PER_BLOCK = 8,
    CLOCK_RATE = 13,
    MULTIPROCESSORS = 16,
    L2_CACHE = 38,
    CAPABILITY_MAJOR = 75,
    CAPABILITY_MINOR = 76,
    SHARED_PER_BLOCK_OPTIN = 97,
    MEMORY_POOLS = 115,
};
constexpr int FUNCTION_SHARED = 1, FUNCTION_REGISTERS = 4, FUNCTION_MAX_DYNAMIC_SHARED = 8;

struct Entry {
    std::string name;
    std::vector<size_t> sizes;
    unsigned max_threads = 1024;
};
struct Module {
    std::vector<Entry> entries;
};
struct Function {
    const gradus::Kernel* kernel;
    unsigned max_threads;
    int max_dynamic_shared = 48 << 10;
};
struct Memory {
    unsigned char* pages;
    size_t mapped, bytes;
};

std::mutex mutex;
std::string failure; // what the last launch that failed did wrong
std::map<uintptr_t, Memory> memories;
size_t held = 0;
// Calls by name, for tests that count them.
std::map<std::string, unsigned long long> calls;
// Launches are counted and not run, memory is all zeros, and the device says that it is a card of this kind: for counts of launches at
// sizes that the emulator would take hours for.
struct {
    bool on = false;
    int capability = 0, multiprocessors = 0;
} dry;
// Set by a launch that failed: a real context answers every later call with the same error.
bool broken = false;

#define CALL(...)                                                                                                     \
    std::lock_guard<std::mutex> lock(mutex);                                                                          \
    calls[__func__]++;                                                                                                \
    if (broken) return LAUNCH_FAILED

size_t setting(const char* name, size_t otherwise) {
    const char* value = std::getenv(name);
    return value ? std::strtoull(value, nullptr, 10) : otherwise;
}
size_t total_memory() { return dry.on ? size_t(80) << 30 : setting("GRADUS_EMULATOR_MEMORY", size_t(1) << 32); }
// The compute capability, as 80 for 8.0.
int capability() { return dry.on ? dry.capability : int(setting("GRADUS_EMULATOR_CAPABILITY", 80)); }
int driver_version() { return int(setting("GRADUS_EMULATOR_DRIVER", 12000)); }

int allocate(uintptr_t* pointer, size_t bytes) {
    if (bytes == 0) return INVALID_VALUE;
    if (held + bytes > total_memory()) return OUT_OF_MEMORY;
    size_t page = size_t(sysconf(_SC_PAGESIZE)), data = (bytes + page - 1) / page * page, mapped = data + 2 * page;
    void* pages = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return OUT_OF_MEMORY;
    auto* first = static_cast<unsigned char*>(pages);
    mprotect(first, page, PROT_NONE);
    mprotect(first + page + data, page, PROT_NONE);
    if (!dry.on) std::memset(first + page, 0xff, data); // NaN
    // At the end of the page, as far as the 16 bytes allow that vector loads are aligned to.
    uintptr_t begin = uintptr_t(first + page + data - bytes) & ~uintptr_t(15);
    memories[begin] = {first, mapped, bytes};
    held += bytes;
    *pointer = begin;
    return SUCCESS;
}

int release(uintptr_t pointer) {
    auto found = memories.find(pointer);
    if (found == memories.end()) return INVALID_VALUE;
    munmap(found->second.pages, found->second.mapped);
    held -= found->second.bytes;
    memories.erase(found);
    return SUCCESS;
}

bool is_held(uintptr_t pointer, size_t bytes) {
    auto after = memories.upper_bound(pointer);
    if (after == memories.begin()) return false;
    const auto& [begin, memory] = *--after;
    return pointer + bytes <= begin + memory.bytes;
}

// Bytes of a `.param` line, 0 where it is none: `.param .u64 name`, `.param .align 4 .b8 name[24]`.
size_t param_bytes(const std::string& line) {
    size_t type = line.find(".param");
    if (type == std::string::npos) return 0;
    size_t open = line.find('[');
    size_t count = open == std::string::npos ? 1 : std::strtoull(line.c_str() + open + 1, nullptr, 10);
    size_t width = line.find(".b8") != std::string::npos || line.find(".u8") != std::string::npos    ? 1
                   : line.find("16 ") != std::string::npos                                           ? 2
                   : line.find("64 ") != std::string::npos                                           ? 8
                                                                                                     : 4;
    return width * count;
}

// The entries of a text in PTX.
int parse(const std::string& ptx, Module& module) {
    size_t target = ptx.find(".target sm_");
    if (target == std::string::npos) return INVALID_PTX;
    if (std::atoi(ptx.c_str() + target + 11) > capability()) return NO_BINARY_FOR_GPU;
    for (size_t at = ptx.find(".entry "); at != std::string::npos; at = ptx.find(".entry ", at + 1)) {
        size_t open = ptx.find('(', at), close = ptx.find(")\n", at), body = ptx.find('{', at);
        if (open == std::string::npos || close == std::string::npos || body == std::string::npos) return INVALID_PTX;
        Entry entry;
        entry.name = ptx.substr(at + 7, open - at - 7);
        for (size_t line = open + 1; line < close;) {
            size_t end = std::min(ptx.find('\n', line), close);
            if (size_t bytes = param_bytes(ptx.substr(line, end - line))) entry.sizes.push_back(bytes);
            line = end + 1;
        }
        size_t limit = ptx.find(".maxntid", close);
        if (limit < body) entry.max_threads = unsigned(std::atoi(ptx.c_str() + limit + 8));
        module.entries.push_back(entry);
    }
    return SUCCESS;
}

std::string launches_file() {
    const char* path = std::getenv("GRADUS_EMULATOR_LAUNCHES");
    std::string name = path ? path : "";
    size_t place = name.find('%');
    return place == std::string::npos ? name : name.replace(place, 1, program_invocation_short_name);
}

// Writes each kind of launch once to the file that GRADUS_EMULATOR_LAUNCHES names, as a line of JSON: for checks of the PTX that need
// sizes. Of an argument that is no memory of the device it writes the bytes, as a number in hexadecimal digits. A % in the name of the
// file is the program's name, so that the programs of one run of the tests have a file each.
void note_launch(const gradus::Kernel& kernel, const unsigned (&size)[6], unsigned dynamic_shared, void** arguments) {
    static const std::string path = launches_file();
    static std::map<std::string, bool> seen;
    if (path.empty()) return;
    std::string line = "{\"kernel\": \"" + std::string(kernel.name) + "\", \"size\": [";
    for (int i = 0; i < 6; i++) line += (i ? ", " : "") + std::to_string(size[i]);
    line += "], \"shared\": " + std::to_string(dynamic_shared) + ", \"arguments\": [";
    for (size_t i = 0; i < kernel.sizes.size(); i++) {
        auto* bytes = static_cast<unsigned char*>(arguments[i]);
        uintptr_t address = 0;
        if (kernel.sizes[i] == 8) std::memcpy(&address, bytes, 8);
        line += i ? ", " : "";
        if (kernel.sizes[i] == 8 && is_held(address, 1)) {
            line += "\"memory\"";
            continue;
        }
        line += "\"";
        for (size_t byte = kernel.sizes[i]; byte-- > 0;) {
            char digits[3];
            std::snprintf(digits, sizeof(digits), "%02x", bytes[byte]);
            line += digits;
        }
        line += "\"";
    }
    line += "]}\n";
    if (!seen.emplace(line, true).second) return;
    if (FILE* file = std::fopen(path.c_str(), "a")) {
        std::fputs(line.c_str(), file);
        std::fclose(file);
    }
}

} // namespace

EXPORT int cuInit(unsigned) { return SUCCESS; }
EXPORT int cuDriverGetVersion(int* version) { return *version = driver_version(), SUCCESS; }
EXPORT int cuDeviceGetCount(int* count) { return *count = int(setting("GRADUS_EMULATOR_DEVICES", 1)), SUCCESS; }
EXPORT int cuDeviceGet(int* device, int ordinal) {
    return *device = ordinal, ordinal < int(setting("GRADUS_EMULATOR_DEVICES", 1)) ? SUCCESS : INVALID_DEVICE;
}
EXPORT int cuDeviceGetName(char* name, int length, int) {
    return std::snprintf(name, size_t(length), "emulator"), SUCCESS;
}
EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = total_memory(), SUCCESS; }
EXPORT int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
    case MAX_THREADS: return *value = 1024, SUCCESS;
    case SHARED_PER_BLOCK: return *value = 48 << 10, SUCCESS;
    case SHARED_PER_BLOCK_OPTIN: return *value = (capability() >= 80 ? 99 : 64) << 10, SUCCESS;
    case MULTIPROCESSORS: return *value = dry.on ? dry.multiprocessors : 4, SUCCESS;
    case CLOCK_RATE: return *value = 1000000, SUCCESS;
    case L2_CACHE: return *value = 4 << 20, SUCCESS;
    case CAPABILITY_MAJOR: return *value = capability() / 10, SUCCESS;
    case CAPABILITY_MINOR: return *value = capability() % 10, SUCCESS;
    case MEMORY_POOLS: return *value = 1, SUCCESS;
    default: return INVALID_VALUE;
    }
}
EXPORT int cuDevicePrimaryCtxRetain(void** context, int device) {
    static char contexts[64];
    return *context = &contexts[device], SUCCESS;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
EXPORT int cuCtxSetCurrent(void*) { return SUCCESS; }
EXPORT int cuCtxGetCurrent(void** context) { return cuDevicePrimaryCtxRetain(context, 0); }
EXPORT int cuCtxSynchronize() { CALL(); return SUCCESS; }
EXPORT int cuStreamCreate(void** stream, unsigned) {
    static char streams;
    return *stream = &streams, SUCCESS;
}
EXPORT int cuStreamSynchronize(void*) { CALL(); return SUCCESS; }
// The time of the host: it orders events, and says nothing about a card.
EXPORT int cuEventCreate(void** event, unsigned) { return *event = new std::chrono::steady_clock::time_point(), SUCCESS; }
EXPORT int cuEventRecord(void* event, void*) {
    CALL();
    *static_cast<std::chrono::steady_clock::time_point*>(event) = std::chrono::steady_clock::now();
    return SUCCESS;
}
EXPORT int cuEventSynchronize(void*) { CALL(); return SUCCESS; }
EXPORT int cuEventElapsedTime(float* milliseconds, void* from, void* to) {
    using Time = std::chrono::steady_clock::time_point;
    std::chrono::duration<float, std::milli> passed = *static_cast<Time*>(to) - *static_cast<Time*>(from);
    return *milliseconds = passed.count(), SUCCESS;
}
EXPORT int cuEventDestroy_v2(void* event) {
    return delete static_cast<std::chrono::steady_clock::time_point*>(event), SUCCESS;
}
EXPORT int cuStreamDestroy_v2(void*) { return SUCCESS; }
EXPORT int cuDeviceGetDefaultMemPool(void** pool, int) { return *pool = nullptr, SUCCESS; }
EXPORT int cuMemPoolSetAttribute(void*, int, void*) { return SUCCESS; }
EXPORT int cuMemPoolTrimTo(void*, size_t) { return SUCCESS; }

EXPORT int cuMemAllocAsync(uintptr_t* pointer, size_t bytes, void*) { CALL(); return allocate(pointer, bytes); }
EXPORT int cuMemAlloc_v2(uintptr_t* pointer, size_t bytes) { CALL(); return allocate(pointer, bytes); }
EXPORT int cuMemFreeAsync(uintptr_t pointer, void*) { CALL(); return release(pointer); }
EXPORT int cuMemFree_v2(uintptr_t pointer) { CALL(); return release(pointer); }
EXPORT int cuMemGetInfo_v2(size_t* free, size_t* total) {
    CALL();
    return *total = total_memory(), *free = *total - held, SUCCESS;
}
EXPORT int cuMemcpyHtoDAsync_v2(uintptr_t to, const void* from, size_t bytes, void*) {
    CALL();
    if (!is_held(to, bytes)) return INVALID_VALUE;
    return std::memcpy(reinterpret_cast<void*>(to), from, bytes), SUCCESS;
}
EXPORT int cuMemcpyDtoHAsync_v2(void* to, uintptr_t from, size_t bytes, void*) {
    CALL();
    if (!is_held(from, bytes)) return INVALID_VALUE;
    return std::memcpy(to, reinterpret_cast<void*>(from), bytes), SUCCESS;
}
EXPORT int cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void*) {
    CALL();
    if (!is_held(to, bytes) || !is_held(from, bytes)) return INVALID_VALUE;
    return std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes), SUCCESS;
}
EXPORT int cuMemsetD8Async(uintptr_t to, unsigned char value, size_t bytes, void*) {
    CALL();
    if (!is_held(to, bytes)) return INVALID_VALUE;
    return std::memset(reinterpret_cast<void*>(to), value, bytes), SUCCESS;
}

EXPORT int cuModuleLoadData(void** module, const void* image) {
    CALL();
    Module parsed;
    if (int error = parse(static_cast<const char*>(image), parsed)) return error;
    return *module = new Module(parsed), SUCCESS;
}
EXPORT int cuModuleUnload(void* module) { return delete static_cast<Module*>(module), SUCCESS; }
EXPORT int cuModuleGetFunction(void** function, void* module, const char* name) {
    CALL();
    for (const Entry& entry : static_cast<Module*>(module)->entries) {
        if (entry.name != name) continue;
        for (const gradus::Kernel& kernel : gradus::kernels()) {
            if (entry.name != kernel.name) continue;
            if (entry.sizes != kernel.sizes) {
                failure = entry.name + ": the parameters of its PTX are not those of its source; the PTX is to be made again";
                return INVALID_PTX;
            }
            return *function = new Function{&kernel, entry.max_threads}, SUCCESS;
        }
    }
    failure = std::string(name) + ": not a kernel of the emulator";
    return NOT_FOUND;
}
EXPORT int cuFuncGetAttribute(int* value, int attribute, void* pointer) {
    const gradus::Kernel& kernel = *static_cast<Function*>(pointer)->kernel;
    *value = attribute == FUNCTION_SHARED ? int(kernel.shared_end - kernel.shared_begin) : 0;
    return SUCCESS;
}
EXPORT int cuFuncSetAttribute(void* pointer, int attribute, int value) {
    if (attribute != FUNCTION_MAX_DYNAMIC_SHARED) return INVALID_VALUE;
    int limit = 0;
    cuDeviceGetAttribute(&limit, SHARED_PER_BLOCK_OPTIN, 0);
    if (value > limit) return INVALID_VALUE;
    return static_cast<Function*>(pointer)->max_dynamic_shared = value, SUCCESS;
}

EXPORT int cuLaunchKernel(void* pointer, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned x, unsigned y,
                          unsigned z, unsigned dynamic_shared, void*, void** arguments, void**) {
    CALL();
    auto& function = *static_cast<Function*>(pointer);
    size_t threads = size_t(x) * y * z;
    bool fits = threads > 0 && threads <= function.max_threads && z <= 64 && grid_x > 0 && grid_y > 0 && grid_z > 0 &&
                grid_x <= 0x7fffffff && grid_y <= 65535 && grid_z <= 65535 &&
                int(dynamic_shared) <= function.max_dynamic_shared;
    if (!fits) return INVALID_VALUE;
    if (dry.on) return SUCCESS;
    note_launch(*function.kernel, {grid_x, grid_y, grid_z, x, y, z}, dynamic_shared, arguments);
    failure = gradus::launch(*function.kernel, {grid_x, grid_y, grid_z}, {x, y, z}, dynamic_shared, arguments);
    broken = !failure.empty();
    return broken ? LAUNCH_FAILED : SUCCESS;
}

EXPORT int cuGetErrorName(int error, const char** name) { return cuInit(0), *name = error ? "ERROR" : "SUCCESS", SUCCESS; }
EXPORT int cuGetErrorString(int error, const char** text) {
    static std::string held_text;
    switch (error) {
    case INVALID_VALUE: held_text = "invalid argument"; break;
    case OUT_OF_MEMORY: held_text = "out of memory"; break;
    case INVALID_DEVICE: held_text = "invalid device ordinal"; break;
    case NO_BINARY_FOR_GPU: held_text = "no kernel image is available for execution on the device"; break;
    case INVALID_PTX: held_text = failure.empty() ? "a PTX JIT compilation failed" : failure; break;
    case NOT_FOUND: held_text = failure.empty() ? "named symbol not found" : failure; break;
    case LAUNCH_FAILED: held_text = failure; break;
    default: held_text = "error " + std::to_string(error);
    }
    return *text = held_text.c_str(), SUCCESS;
}

// ---- For tests alone --------------------------------------------------------------------------------------------------

EXPORT void gradus_emulator_schedule(int kind, unsigned seed) {
    std::lock_guard<std::mutex> lock(mutex);
    gradus::schedule = {gradus::Schedule::Kind(kind), seed};
}
// How often a function of the driver was called since the process began.
EXPORT unsigned long long gradus_emulator_calls(const char* function) {
    std::lock_guard<std::mutex> lock(mutex);
    return calls[function];
}
// From now on launches are only counted; the device is a card of this capability (90 for 9.0) and so many multiprocessors.
EXPORT void gradus_emulator_dry(int capability, int multiprocessors) {
    std::lock_guard<std::mutex> lock(mutex);
    dry = {true, capability, multiprocessors};
}
// Makes the device usable again after a launch that failed, as a new process would.
EXPORT void gradus_emulator_reset() {
    std::lock_guard<std::mutex> lock(mutex);
    broken = false;
}
