// The program around a kernel source: reads the arguments of one launch from a file, runs it, writes them back.
//
// File: for each argument an int64 size in bytes and the bytes. Every array has an allocation of exactly its size, so
// that the address sanitizer sees the first element past it.
#pragma once

#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "emulator.hpp"

namespace numopt_emulator {

using Argument = std::vector<char>;

struct Kernel {
    const char* name;
    std::function<void(std::vector<Argument>&, unsigned, unsigned)> run;
};

template <typename T>
T unpack(Argument& bytes) {
    if constexpr (std::is_pointer_v<T>) {
        return reinterpret_cast<T>(bytes.data());
    } else {
        if (bytes.size() != sizeof(T)) fail("a scalar argument has the wrong size");
        T value;
        std::memcpy(&value, bytes.data(), sizeof(T));
        return value;
    }
}

template <typename... Args>
Kernel launcher(const char* name, void (*kernel)(Args...)) {
    return {name, [kernel](std::vector<Argument>& bytes, unsigned grid, unsigned threads) {
        if (bytes.size() != sizeof...(Args)) fail("wrong number of arguments");
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            const std::tuple<Args...> values{unpack<Args>(bytes[I])...};
            run_grid(grid, threads, [&] { std::apply(kernel, values); });
        }(std::index_sequence_for<Args...>{});
    }};
}

inline std::FILE* open(const char* path, const char* how) {
    std::FILE* file = std::fopen(path, how);
    if (file == nullptr) fail("the file of the arguments does not open");
    return file;
}

inline int drive(int count, char** words, const std::vector<Kernel>& kernels) {
    if (count != 5) fail("usage: KERNEL GRID BLOCK FILE");
    std::vector<Argument> arguments;
    std::FILE* file = open(words[4], "rb");
    std::int64_t size = 0;
    while (std::fread(&size, sizeof size, 1, file) == 1) {
        Argument& bytes = arguments.emplace_back(static_cast<std::size_t>(size));
        // An empty vector has no address, which fread may not be given.
        if (size > 0 && std::fread(bytes.data(), bytes.size(), 1, file) != 1) fail("the file of the arguments is short");
    }
    std::fclose(file);
    const auto number = [](const char* word) { return static_cast<unsigned>(std::strtoul(word, nullptr, 10)); };
    const Kernel* found = nullptr;
    for (const Kernel& kernel : kernels) {
        if (std::strcmp(kernel.name, words[1]) == 0) found = &kernel;
    }
    if (found == nullptr) fail("no such kernel in this program");
    found->run(arguments, number(words[2]), number(words[3]));
    file = open(words[4], "wb");
    for (const Argument& bytes : arguments) {
        size = static_cast<std::int64_t>(bytes.size());
        std::fwrite(&size, sizeof size, 1, file);
        if (size > 0) std::fwrite(bytes.data(), bytes.size(), 1, file);
    }
    return std::fclose(file);
}

}  // namespace numopt_emulator
