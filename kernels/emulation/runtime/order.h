// Order in which the threads of a block, and the blocks, get their turn.
#pragma once
#include <stdint.h>

namespace emulation {

struct Order {
    enum Kind { Forward, Reverse, Random } kind = Forward;
    uint64_t seed = 0;

    // forward, reverse or random:SEED; false if the text is none of these.
    static bool parse(const char* text, Order* order);

    // What applies to launches that follow.
    static Order current();
    static void set(Order order);
};

// From a sequence that begins with the seed of the order that is set.
uint64_t next_random();

// Visits 0 … count − 1 in the order that is set. A random order is i·a + b modulo the count, with a prime to it.
class Sequence {
public:
    explicit Sequence(uint64_t count);
    uint64_t next() {
        uint64_t value = next_;
        next_ += step_;
        if (next_ >= count_) {
            next_ -= count_;
        }
        return value;
    }

private:
    uint64_t count_, step_ = 1, next_ = 0;
};

} // namespace emulation
