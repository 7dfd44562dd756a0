// SPDX-License-Identifier: Apache-2.0
//
// Prints the report, 25 customers at a time, on one thread.
#include <aiofiber/asyncio.h>

#include <iostream>
#include <mutex>
#include <string>
#include <vector>

#include "report.h"

int main(int argc, char** argv) {
  const Settings settings = settings_from(argc, argv);
  Report report(settings);
  // The database takes 100 connections, and we are not alone. Not in run(): if a task fails, the others still
  // use it.
  asyncio::Semaphore at_once(25);
  std::vector<std::string> lines = asyncio::run([&] {
    std::vector<asyncio::Task<std::string>> tasks;
    for (int customer = 1; customer <= settings.customers; ++customer) {
      tasks.push_back(asyncio::create_task({.name = "customer-" + std::to_string(customer)}, [&, customer] {
        const std::scoped_lock place(at_once);
        return report.line_about(customer);
      }));
    }
    return asyncio::await(asyncio::gather(tasks));
  });
  for (const std::string& line : lines) std::cout << line << '\n';
}
