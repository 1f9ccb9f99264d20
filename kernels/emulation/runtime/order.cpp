#include "order.h"

#include <numeric>
#include <stdlib.h>
#include <string.h>

namespace emulation {

namespace {

Order order;
uint64_t random_state;

} // namespace

bool Order::parse(const char* text, Order* order) {
    if (strcmp(text, "forward") == 0) {
        *order = {Forward, 0};
    } else if (strcmp(text, "reverse") == 0) {
        *order = {Reverse, 0};
    } else if (strncmp(text, "random:", 7) == 0 && text[7] != '\0') {
        char* end;
        *order = {Random, strtoull(text + 7, &end, 10)};
        return *end == '\0';
    } else {
        return false;
    }
    return true;
}

Order Order::current() { return order; }

void Order::set(Order value) {
    order = value;
    random_state = value.seed;
}

uint64_t next_random() { // splitmix64
    uint64_t z = random_state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

Sequence::Sequence(uint64_t count) : count_(count) {
    if (order.kind == Order::Reverse) {
        step_ = count - 1;
        next_ = count - 1;
    } else if (order.kind == Order::Random && count > 1) {
        do {
            step_ = next_random() % count;
        } while (std::gcd(step_, count) != 1);
        next_ = next_random() % count;
    }
}

} // namespace emulation
