// SPDX-License-Identifier: Apache-2.0
//
// Child processes: their whole output, their lines as they come, and an error of the start.
#include <aiofiber/asyncio.h>

#include <iostream>
#include <string>
#include <system_error>
#include <vector>

namespace {

using asyncio::subprocess::PIPE;

void report(const std::string& command) {
  const auto process =
      asyncio::await(asyncio::create_subprocess_shell(command, {.stdout_ = PIPE, .stderr_ = PIPE}));
  const auto [out, err] = asyncio::await(process.communicate());
  std::cout << "['" << command << "' exited with " << *process.returncode() << "]\n";
  if (!out.empty()) std::cout << "[stdout]\n" << out;
  if (!err.empty()) std::cout << "[stderr]\n" << err;
}

}  // namespace

int main() {
  asyncio::run([] {
    report("echo some text");
    report("echo no such thing >&2; exit 1");
    const auto sort =
        asyncio::await(asyncio::create_subprocess_exec({"sort"}, {.stdin_ = PIPE, .stdout_ = PIPE}));
    sort.stdin_()->writelines(std::vector<std::string>{"pear\n", "apple\n", "fig\n"});
    sort.stdin_()->close();
    for (const std::string& line : *sort.stdout_()) std::cout << "sorted: " << line;
    std::cout << asyncio::await(sort.wait()) << "\n";
    try {
      asyncio::await(asyncio::create_subprocess_exec({"no-such-program"}));
    } catch (const std::system_error& error) {
      if (error.code() == std::errc::no_such_file_or_directory) std::cout << "not found\n";
    }
  });
}
