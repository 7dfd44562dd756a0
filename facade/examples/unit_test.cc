// SPDX-License-Identifier: Apache-2.0
//
// Tests of code that waits, without a test that waits: a cache whose entries expire, on a loop with a virtual
// clock. Any test framework will do; here `check` stands for its assertion.
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <utility>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"

using namespace std::chrono_literals;

namespace {

// What is tested.
class Cache {
 public:
  Cache(std::function<std::string(std::string)> fetch, std::chrono::seconds lifetime)
      : fetch_(std::move(fetch)), lifetime_(lifetime) {}
  std::string get(const std::string& key) {
    const auto now = asyncio::get_running_loop().time();
    const auto found = entries_.find(key);
    if (found != entries_.end() && found->second.second > now) return found->second.first;
    std::string value = fetch_(key);
    entries_[key] = {value, asyncio::get_running_loop().time() + lifetime_};
    return value;
  }

 private:
  std::function<std::string(std::string)> fetch_;
  std::chrono::seconds lifetime_;
  std::map<std::string, std::pair<std::string, asyncio::TimePoint>> entries_;
};

void check(bool condition, const char* what) {
  std::cout << (condition ? "ok: " : "FAILED: ") << what << '\n';
  if (!condition) std::exit(1);
}

void asks_again_when_an_entry_has_expired() {
  asyncio::testing::TestLoop loop;
  loop.run_until_complete([] {
    int fetched = 0;
    Cache cache(
        [&](const std::string& key) {
          ++fetched;
          asyncio::await(asyncio::sleep(2s));  // a slow server
          return key + "!";
        },
        1h);
    check(cache.get("a") == "a!" && fetched == 1, "the first get fetches");
    asyncio::await(asyncio::sleep(1h - 1ns));
    check(cache.get("a") == "a!" && fetched == 1, "just before the hour is over, the cache has it");
    asyncio::await(asyncio::sleep(1ns));
    check(cache.get("a") == "a!" && fetched == 2, "after exactly an hour, it fetches again");
    check(asyncio::get_running_loop().time().time_since_epoch() == 1h + 4s, "an hour and four seconds");
  });
  loop.close();
}

}  // namespace

int main() { asks_again_when_an_entry_has_expired(); }
