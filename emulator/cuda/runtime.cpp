// The threads of a block, as fibers: barriers, exchanges within a warp, asynchronous copies.
//
// A fiber runs until it has to wait. Which one runs next is the schedule. A correct kernel gives the same result in every
// schedule; one with a missing barrier reads, in some of them, what is not written yet, which is NaN at first.
// For the thread sanitizer (GRADUS_RACES) each fiber is a thread, of which it knows by calls: what one thread did comes before what
// another does only where a barrier, an exchange or the beginning of a block says so, whatever the schedule. This file is compiled
// without it.
#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>

#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef GRADUS_RACES
#include <sanitizer/tsan_interface.h>
extern "C" void __tsan_read_range(void* at, unsigned long bytes);
extern "C" void __tsan_write_range(void* at, unsigned long bytes);
#endif

namespace gradus {

Place* place;
Schedule schedule = {Schedule::Forward, 0};

std::vector<Kernel>& kernels() {
    static std::vector<Kernel> all;
    return all;
}

namespace {

struct Copy {
    void* to;
    const void* from;
    size_t size, valid;
};

// Threads that meet, and what they give each other. There are two results, because the next exchange may begin before every
// thread has read the last one.
struct Meeting {
    // The threads that may meet here.
    size_t first = 0, end = 0;
    size_t expected = 0, arrived = 0;
    uint64_t number = 0;
    uint32_t lanes = 0;
    int line = 0;
    Exchange result[2];
};

struct Fiber {
    Place place;
    size_t index;
    enum State { Ready, Waiting, Done } state = Ready;
    Meeting* waits_for = nullptr;
    std::vector<Copy> uncommitted;
    std::deque<std::vector<Copy>> groups;
    unsigned char* stack = nullptr;
#if defined(__x86_64__)
    void* context = nullptr;
#else
    ucontext_t context;
#endif
#if defined(__SANITIZE_ADDRESS__)
    void* fake_stack = nullptr;
#endif
#ifdef GRADUS_RACES
    void* thread = nullptr;
#endif
};

struct Block {
    const Kernel* kernel;
    void** arguments;
    std::deque<Fiber> fibers;
    Meeting barrier;
    std::deque<Meeting> warps;
    size_t done = 0;
    std::string failure;
};

Block* block;

void note_failure(const std::string& what) {
    if (block->failure.empty()) block->failure = what;
}

std::string at_line(const char* what, int line) {
    return std::string(block->kernel->name) + ", line " + std::to_string(line) + ": " + what;
}

} // namespace

// ---- What the thread sanitizer is told --------------------------------------------------------------------------------

namespace races {

#ifdef GRADUS_RACES
// What was done before `leave` at a place comes before what is done after `reach` at the same place.
void leave(void* place) { __tsan_release(place); }
void reach(void* place) { __tsan_acquire(place); }
void reads(const void* at, size_t bytes) { __tsan_read_range(const_cast<void*>(at), bytes); }
void writes(void* at, size_t bytes) { __tsan_write_range(at, bytes); }
void* current_thread() { return __tsan_get_current_fiber(); }
void go_on_as(void* thread) { __tsan_switch_to_fiber(thread, __tsan_switch_to_fiber_no_sync); }

// Threads are kept from block to block. Each has a second one, which does its asynchronous copies.
std::vector<void*> threads, copying;
void* one_of(std::vector<void*>& kept, size_t index) {
    while (kept.size() <= index) kept.push_back(__tsan_create_fiber(0));
    return kept[index];
}
// Those of a block that failed have not left their functions.
void forget_threads() {
    for (auto* kept : {&threads, &copying}) {
        for (void* thread : *kept) __tsan_destroy_fiber(thread);
        kept->clear();
    }
}
#else
void leave(void*) {}
void reach(void*) {}
#endif

char block_begins, block_ends; // places

} // namespace races

// ---- Waiting ----------------------------------------------------------------------------------------------------------

namespace {

constexpr size_t STACK = 256 << 10;
Fiber* current;

#if defined(__x86_64__)
void* scheduler_context;
// Saves the registers that a call preserves on the stack, and goes on with another stack.
extern "C" void gradus_switch(void** save, void* load);
asm(R"(
.text
.hidden gradus_switch
.globl gradus_switch
.type gradus_switch, @function
gradus_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size gradus_switch, . - gradus_switch
)");
#else
ucontext_t scheduler_context;
#endif
#if defined(__SANITIZE_ADDRESS__)
const void* scheduler_stack;
size_t scheduler_size;
void* scheduler_fake_stack;
#endif
#ifdef GRADUS_RACES
void* scheduler_thread;
#endif

void to_scheduler(bool for_good) {
    Fiber* fiber = current;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fiber->fake_stack, scheduler_stack, scheduler_size);
#else
    (void)for_good;
#endif
#ifdef GRADUS_RACES
    races::go_on_as(scheduler_thread);
#endif
#if defined(__x86_64__)
    gradus_switch(&fiber->context, scheduler_context);
#else
    swapcontext(&fiber->context, &scheduler_context);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fiber->fake_stack, nullptr, nullptr);
#endif
}

void fiber_body() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
    races::reach(&races::block_begins);
    block->kernel->call(block->arguments);
    races::leave(&races::block_ends);
    current->state = Fiber::Done;
    block->done++;
    to_scheduler(true);
    std::abort(); // nobody goes on with a fiber that is done
}

void prepare(Fiber& fiber) {
#if defined(__x86_64__)
    // As gradus_switch leaves a stack: six registers, then the address it returns to. A function is entered with the
    // stack 8 bytes off a multiple of 16, where the address that it returns to stands.
    void** top = reinterpret_cast<void**>(fiber.stack + STACK) - 1;
    *--top = reinterpret_cast<void*>(&fiber_body);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    fiber.context = top;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = STACK;
    makecontext(&fiber.context, &fiber_body, 0);
#endif
}

void run(Fiber& fiber) {
    current = &fiber;
    place = &fiber.place;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler_fake_stack, fiber.stack, STACK);
#endif
#ifdef GRADUS_RACES
    scheduler_thread = races::current_thread();
    races::go_on_as(fiber.thread);
#endif
#if defined(__x86_64__)
    gradus_switch(&scheduler_context, fiber.context);
#else
    swapcontext(&scheduler_context, &fiber.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
#endif
}

// Stacks are kept from block to block.
unsigned char* stack_of(size_t index) {
    static std::vector<unsigned char*> stacks;
    while (stacks.size() <= index) {
        void* memory = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            std::fputs("the emulator has no memory for the stacks of its fibers\n", stderr);
            std::abort();
        }
        stacks.push_back(static_cast<unsigned char*>(memory));
    }
    return stacks[index];
}

uint32_t next_random(uint32_t& state) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

// The order in which the fibers are offered the processor, in one round.
std::vector<size_t> order(size_t count, uint32_t& random) {
    std::vector<size_t> all(count);
    for (size_t i = 0; i < count; i++) all[i] = schedule.kind == Schedule::Reverse ? count - 1 - i : i;
    if (schedule.kind == Schedule::Random) {
        for (size_t i = count; i > 1; i--) std::swap(all[i - 1], all[next_random(random) % i]);
    }
    if (schedule.kind == Schedule::WarpAhead) { // a warp that is alone as long as it can go on
        size_t warps = (count + LANES - 1) / LANES, first = schedule.seed % warps * LANES;
        std::rotate(all.begin(), all.begin() + first, all.end());
    }
    return all;
}

std::string who_waits() {
    for (Fiber& fiber : block->fibers) {
        if (fiber.state != Fiber::Waiting) continue;
        Meeting& m = *fiber.waits_for;
        std::string what = &m == &block->barrier ? "a barrier is reached by " : "an exchange within a warp is reached by ";
        what += std::to_string(m.arrived) + " of " + std::to_string(m.expected) + " threads";
        return at_line(what.c_str(), m.line);
    }
    return "no thread waits"; // not reached: somebody waits where nobody is ready
}

void run_fibers() {
    uint32_t random = schedule.seed * 2654435761u + 1;
    size_t count = block->fibers.size();
    for (Fiber& fiber : block->fibers) {
        fiber.stack = stack_of(fiber.index);
#ifdef GRADUS_RACES
        fiber.thread = races::one_of(races::threads, fiber.index);
#endif
        prepare(fiber);
    }
    races::leave(&races::block_begins);
    while (block->done < count && block->failure.empty()) {
        bool any = false;
        std::vector<size_t> turn = order(count, random);
        for (size_t i = 0; i < count && block->failure.empty(); i++) {
            Fiber& fiber = block->fibers[turn[i]];
            if (fiber.state != Fiber::Ready) continue;
            any = true;
            run(fiber);
            // In the schedule with a warp ahead, that warp comes first again whenever it can go on.
            if (schedule.kind == Schedule::WarpAhead && i % LANES == LANES - 1) {
                bool ahead = false;
                for (size_t j = 0; j < LANES && j < count; j++) ahead |= block->fibers[turn[j]].state == Fiber::Ready;
                if (ahead) break;
            }
        }
        if (!any && block->failure.empty()) note_failure(who_waits());
    }
    races::reach(&races::block_ends);
#ifdef GRADUS_RACES
    if (!block->failure.empty()) races::forget_threads();
#endif
}

// Waits until all that `meeting` expects are there.
template <class Give> uint64_t meet(Meeting& meeting, size_t expected, int line, Give give) {
    if (meeting.arrived == 0) {
        meeting.expected = expected;
        meeting.line = line;
        meeting.result[meeting.number % 2].lanes = 0;
    }
    if (meeting.line != line) fail("threads that should meet are at different places in the kernel", line);
    if (meeting.expected != expected) fail("lanes of one exchange name different masks", line);
    uint64_t number = meeting.number;
    Exchange& result = meeting.result[number % 2];
    give(result);
    races::leave(&result);
    if (++meeting.arrived == expected) {
        meeting.arrived = 0;
        meeting.number++;
        for (size_t i = meeting.first; i < meeting.end; i++) {
            Fiber& fiber = block->fibers[i];
            if (fiber.state == Fiber::Waiting && fiber.waits_for == &meeting) fiber.state = Fiber::Ready;
        }
    } else {
        current->state = Fiber::Waiting;
        current->waits_for = &meeting;
        to_scheduler(false);
    }
    races::reach(&result);
    return number;
}

Fiber& me() { return *current; }

} // namespace

void fail(const char* what, int line) {
    note_failure(at_line(what, line));
    to_scheduler(false);
    std::abort(); // a block that failed is not gone on with
}

// ---- What a kernel calls ----------------------------------------------------------------------------------------------

void sync_threads(int line) {
    meet(block->barrier, block->fibers.size(), line, [](Exchange&) {});
}

const Exchange& exchange(uint32_t mask, const void* given, size_t size, int line) {
    unsigned lane = me().index % LANES;
    size_t first = me().index - lane, here = std::min(LANES, block->fibers.size() - first);
    uint32_t present = here == LANES ? 0xffffffffu : (1u << here) - 1;
    if (!(mask >> lane & 1)) fail("a lane takes part in an exchange whose mask does not name it", line);
    Meeting& warp = block->warps[first / LANES];
    uint64_t number = meet(warp, __builtin_popcount(mask & present), line, [&](Exchange& all) {
        if (size != 0) std::memcpy(all.slot[lane], given, size);
        all.lanes |= 1u << lane;
    });
    return warp.result[number % 2];
}

void carry_out(const Copy& copy) {
    std::memcpy(copy.to, copy.from, copy.valid);
    std::memset(static_cast<unsigned char*>(copy.to) + copy.valid, 0, copy.size - copy.valid);
}

// A copy may take place at any time until it is waited for. It does so at the end, which shows a wait that is missing, and where a warp
// is ahead of the others at once, which shows a barrier that is missing before it.
// For the thread sanitizer another thread copies: after what this one has done so far, and before nothing but what this one does when
// it has waited.
void copy_async(void* shared, const void* global, size_t size, size_t valid) {
    const Copy copy = {shared, global, size, valid};
#ifdef GRADUS_RACES
    races::leave(&me().groups);
    races::go_on_as(races::one_of(races::copying, me().index));
    races::reach(&me().groups);
    races::reads(global, valid);
    races::writes(shared, size);
    races::go_on_as(me().thread);
#endif
    if (schedule.kind == Schedule::WarpAhead) carry_out(copy);
    else me().uncommitted.push_back(copy);
}

void commit_copies() {
    me().groups.push_back(std::move(me().uncommitted));
    me().uncommitted.clear();
#ifdef GRADUS_RACES
    races::go_on_as(races::one_of(races::copying, me().index));
    races::leave(&me().groups.back());
    races::go_on_as(me().thread);
#endif
}

void wait_copies(unsigned pending) {
    while (me().groups.size() > pending) {
        races::reach(&me().groups.front());
        for (const Copy& copy : me().groups.front()) carry_out(copy);
        me().groups.pop_front();
    }
}

// ---- A grid -----------------------------------------------------------------------------------------------------------

std::string launch(const Kernel& kernel, Index grid, Index size, size_t dynamic_shared, void** arguments) {
    size_t count = size_t(size.x) * size.y * size.z;
    // Allocated for itself, so that the address sanitizer sees where it ends.
    void* memory = nullptr;
    if (dynamic_shared != 0 && posix_memalign(&memory, 128, dynamic_shared) != 0) return "no memory for shared memory";
    std::unique_ptr<void, void (*)(void*)> owner(memory, std::free);
    for (unsigned z = 0; z < grid.z; z++) {
        for (unsigned y = 0; y < grid.y; y++) {
            for (unsigned x = 0; x < grid.x; x++) {
                if (memory) std::memset(memory, 0xff, dynamic_shared); // NaN as f32 and bf16
                std::memset(kernel.shared_begin, 0xff, kernel.shared_end - kernel.shared_begin);
                Block current_block;
                block = &current_block;
                current_block.kernel = &kernel;
                current_block.arguments = arguments;
                current_block.barrier.end = count;
                for (size_t first = 0; first < count; first += LANES) {
                    Meeting& warp = current_block.warps.emplace_back();
                    warp.first = first;
                    warp.end = std::min(first + LANES, count);
                }
                for (size_t i = 0; i < count; i++) {
                    current_block.fibers.emplace_back();
                    Fiber& fiber = current_block.fibers.back();
                    fiber.index = i;
                    Index thread = {unsigned(i % size.x), unsigned(i / size.x % size.y), unsigned(i / size.x / size.y)};
                    fiber.place = {thread, {x, y, z}, size, grid, static_cast<unsigned char*>(memory)};
                }
                run_fibers();
                if (!current_block.failure.empty()) return current_block.failure;
            }
        }
    }
    return "";
}

} // namespace gradus
