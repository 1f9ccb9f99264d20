#include "settings.h"

#include <algorithm>
#include <sstream>
#include <stdlib.h>

namespace emulation {

namespace {

// A whole number without a sign, or -1.
int number(const std::string& text) {
    bool digits = !text.empty() && text.size() < 9 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    return digits ? atoi(text.c_str()) : -1;
}

std::vector<std::string> split(const char* list) {
    std::vector<std::string> parts;
    std::stringstream stream(list);
    for (std::string part; std::getline(stream, part, ',');) {
        parts.push_back(part);
    }
    return parts;
}

Settings read() {
    Settings settings;
    auto value = [&](const char* name, int standard) {
        const char* text = getenv(name);
        int found = text == nullptr ? standard : number(text);
        if (found < 0) {
            settings.wrong = std::string(name) + " is not a whole number";
        }
        return found;
    };
    settings.driver_version = value("FORGETTING_EMU_DRIVER", settings.driver_version);
    if (const char* text = getenv("FORGETTING_EMU_CAPABILITY")) {
        std::string digits = text;
        size_t dot = digits.size() - std::min<size_t>(digits.size(), 2);
        bool dotted = digits.size() > 2 && digits[dot] == '.';
        settings.capability = dotted ? number(digits.erase(dot, 1)) : -1;
        if (settings.capability < 0) {
            settings.wrong = "FORGETTING_EMU_CAPABILITY is not like 8.0";
        }
    }
    int devices = value("FORGETTING_EMU_DEVICES", 1);
    settings.visible.clear();
    const char* list = getenv("CUDA_VISIBLE_DEVICES");
    if (list != nullptr && getenv("FORGETTING_EMU_DEVICES") != nullptr) {
        // As the driver does: what comes behind a number that is not a card's does not count.
        for (const std::string& part : split(list)) {
            int device = number(part);
            if (device < 0 || device >= devices) {
                break;
            }
            settings.visible.push_back(device);
        }
    } else {
        for (int device = 0; device < devices; device++) {
            settings.visible.push_back(device);
        }
    }
    const char* failures = getenv("FORGETTING_EMU_FAIL");
    for (const std::string& part : split(failures == nullptr ? "" : failures)) {
        size_t equals = part.find('=');
        int status = equals == std::string::npos ? -1 : number(part.substr(equals + 1));
        if (status <= 0) {
            settings.wrong = "FORGETTING_EMU_FAIL is not CALL=STATUS,…";
        }
        settings.failures[part.substr(0, equals)] = status;
    }
    return settings;
}

} // namespace

const Settings& Settings::instance() {
    static const Settings settings = read();
    return settings;
}

} // namespace emulation
