// CUDA C++ on the CPU: what a kernel source needs to compile as C++20 and run with the barriers it asks for.
//
// Blocks run one after the other. The threads of a block are fibers (the default: fast, deterministic) or, with
// NUMOPT_EMULATOR_THREADS, operating-system threads, which is what the sanitizers understand. A block whose threads
// wait at different barriers, or end while others wait, is an error here, where a GPU would hang.
// A cooperative launch has one block, so that its grid barrier is a block barrier.
// Not covered: atomics but for those of common.cuh, textures, dynamic shared memory, CUB, asynchronous copies.
#pragma once

#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#ifdef NUMOPT_EMULATOR_THREADS
#include <barrier>
#include <thread>
#else
#include <ucontext.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// One block at a time: what its threads share is a static variable.
#define __shared__ static

struct Dim3 {
    unsigned x = 0, y = 0, z = 0;
};

#ifdef NUMOPT_EMULATOR_THREADS
inline thread_local Dim3 threadIdx;
#else
inline Dim3 threadIdx;
#endif
inline Dim3 blockIdx, blockDim, gridDim;

using std::exp, std::fabs, std::fma, std::fmax, std::fmin, std::log1p, std::log2, std::sqrt;

namespace numopt_emulator {

[[noreturn]] inline void fail(const char* message) {
    std::fprintf(stderr, "emulator: %s\n", message);
    std::exit(2);
}

#ifdef NUMOPT_EMULATOR_THREADS

using Barrier = std::barrier<>;

inline void wait(Barrier& barrier) { barrier.arrive_and_wait(); }

template <typename Body>
void run_threads(unsigned count, Body&& body) {
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < count; ++t) {
        threads.emplace_back([t, &body] {
            threadIdx = {t, 0, 0};
            body();
        });
    }
    for (auto& thread : threads) thread.join();
}

#else

struct Barrier {
    explicit Barrier(std::ptrdiff_t expected) : expected(expected) {}
    std::ptrdiff_t expected;
    std::vector<unsigned> waiting;
};

struct Fiber {
    static constexpr std::size_t stack_size = 64 * 1024;
    ucontext_t context{};
    std::unique_ptr<char[]> stack{new char[stack_size]};
    bool runnable = true;
    bool done = false;
};

struct Scheduler {
    std::vector<Fiber> fibers;
    ucontext_t home{};
    unsigned current = 0;
    std::function<void()> body;
};

inline Scheduler* scheduler = nullptr;

inline void enter() {
    scheduler->body();
    scheduler->fibers[scheduler->current].done = true;
}

inline void wait(Barrier& barrier) {
    if (static_cast<std::ptrdiff_t>(barrier.waiting.size()) + 1 == barrier.expected) {
        for (const unsigned t : barrier.waiting) scheduler->fibers[t].runnable = true;
        barrier.waiting.clear();
        return;
    }
    const unsigned self = scheduler->current;
    barrier.waiting.push_back(self);
    scheduler->fibers[self].runnable = false;
    swapcontext(&scheduler->fibers[self].context, &scheduler->home);
}

template <typename Body>
void run_threads(unsigned count, Body&& body) {
    Scheduler own;
    own.fibers = std::vector<Fiber>(count);
    own.body = body;
    scheduler = &own;
    for (Fiber& fiber : own.fibers) {
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = Fiber::stack_size;
        fiber.context.uc_link = &own.home;
        makecontext(&fiber.context, enter, 0);
    }
    for (unsigned left = count; left > 0;) {
        bool moved = false;
        for (unsigned t = 0; t < count; ++t) {
            Fiber& fiber = own.fibers[t];
            if (fiber.done || !fiber.runnable) continue;
            moved = true;
            own.current = t;
            threadIdx = {t, 0, 0};
            swapcontext(&own.home, &fiber.context);
            if (fiber.done) --left;
        }
        if (!moved) fail("threads of a block wait at different barriers");
    }
    scheduler = nullptr;
}

#endif

constexpr unsigned lanes = 32;

// Barriers of the block and of its warps, and the places through which lanes exchange values.
struct Block {
    explicit Block(unsigned threads) : all(threads), exchange(threads) {
        for (unsigned first = 0; first < threads; first += lanes) warps.push_back(std::make_unique<Barrier>(lanes));
    }
    Barrier all;
    std::vector<std::unique_ptr<Barrier>> warps;
    std::vector<std::uint64_t> exchange;
};

inline Block* block = nullptr;

template <typename Body>
void run_grid(unsigned grid, unsigned threads, Body&& body) {
    if (threads % lanes != 0) fail("the block size is no multiple of 32");
    gridDim = {grid, 1, 1};
    blockDim = {threads, 1, 1};
    for (unsigned b = 0; b < grid; ++b) {
        blockIdx = {b, 0, 0};
        Block own(threads);
        block = &own;
        run_threads(threads, body);
    }
    block = nullptr;
}

}  // namespace numopt_emulator

namespace numopt {

inline void block_sync() { numopt_emulator::wait(numopt_emulator::block->all); }

inline void warp_sync() {
    numopt_emulator::wait(*numopt_emulator::block->warps[threadIdx.x / numopt_emulator::lanes]);
}

template <typename T>
inline T shuffle_xor(T value, int mask) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t));
    auto& own = *numopt_emulator::block;
    auto& warp = *own.warps[threadIdx.x / numopt_emulator::lanes];
    std::memcpy(&own.exchange[threadIdx.x], &value, sizeof value);
    numopt_emulator::wait(warp);
    std::memcpy(&value, &own.exchange[threadIdx.x ^ static_cast<unsigned>(mask)], sizeof value);
    numopt_emulator::wait(warp);
    return value;
}

inline unsigned ballot(bool predicate) {
    auto& own = *numopt_emulator::block;
    auto& warp = *own.warps[threadIdx.x / numopt_emulator::lanes];
    own.exchange[threadIdx.x] = predicate;
    numopt_emulator::wait(warp);
    const unsigned first = threadIdx.x / numopt_emulator::lanes * numopt_emulator::lanes;
    unsigned bits = 0;
    for (unsigned lane = 0; lane < numopt_emulator::lanes; ++lane) {
        bits |= static_cast<unsigned>(own.exchange[first + lane]) << lane;
    }
    numopt_emulator::wait(warp);
    return bits;
}

inline bool any_lane(bool predicate) { return ballot(predicate) != 0; }

inline int popcount(unsigned bits) { return std::popcount(bits); }

inline void grid_sync(unsigned long long*, unsigned long long&) {
    if (gridDim.x != 1) numopt_emulator::fail("a cooperative launch has one block here");
    block_sync();
}

inline int load_relaxed(const int* place) {
    return std::atomic_ref<int>(*const_cast<int*>(place)).load(std::memory_order_relaxed);
}

inline void store_relaxed(int* place, int value) {
    std::atomic_ref<int>(*place).store(value, std::memory_order_relaxed);
}

inline bool compare_and_swap(int* place, int expected, int value) {
    return std::atomic_ref<int>(*place).compare_exchange_strong(expected, value, std::memory_order_relaxed);
}

// A C++ compiler in its ISO mode contracts nothing.
template <typename T>
inline T add_rn(T x, T y) { return x + y; }
template <typename T>
inline T sub_rn(T x, T y) { return x - y; }
template <typename T>
inline T mul_rn(T x, T y) { return x * y; }
template <typename T>
inline T fma_rn(T x, T y, T z) { return std::fma(x, y, z); }
template <typename T>
inline T sqrt_rn(T x) { return std::sqrt(x); }

inline unsigned high_word(double x) { return static_cast<unsigned>(std::bit_cast<std::uint64_t>(x) >> 32); }
inline unsigned low_word(double x) { return static_cast<unsigned>(std::bit_cast<std::uint64_t>(x)); }
inline double from_words(unsigned high, unsigned low) {
    return std::bit_cast<double>(static_cast<std::uint64_t>(high) << 32 | low);
}
inline unsigned word(float x) { return std::bit_cast<unsigned>(x); }
inline float from_word(unsigned bits) { return std::bit_cast<float>(bits); }

}  // namespace numopt
