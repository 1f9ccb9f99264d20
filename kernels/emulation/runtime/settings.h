// The card that the emulation imitates, from environment variables, so that tests see other machines than this one.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace emulation {

struct Settings {
    int driver_version = 12040;          // FORGETTING_EMU_DRIVER, as cuDriverGetVersion returns it
    int capability = 80;                 // FORGETTING_EMU_CAPABILITY, such as 7.5
    // Of FORGETTING_EMU_DEVICES cards those that CUDA_VISIBLE_DEVICES leaves, in its order. Without the former there is one, whatever the
    // latter says of the machine's own cards.
    std::vector<int> visible = {0};
    std::map<std::string, int> failures; // FORGETTING_EMU_FAIL, such as cuModuleLoad=209,cublasCreate=1: calls that fail with a status
    std::string wrong;                   // what cannot be read, or empty

    static const Settings& instance();
};

} // namespace emulation
