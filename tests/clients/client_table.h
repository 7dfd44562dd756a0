// SPDX-License-Identifier: Apache-2.0
//
// The results of the matrix of clients and faults, as a table of runtime/hooks/README.md.
//
// The program writes the table at its end, between two marker comments of the file that AIOFIBER_CLIENT_TABLE
// names. Without that variable it writes nothing.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace aiofiber::clients_test {

// What a call costs this process: processor time of user and system together, in microseconds a call.
struct Costs {
  bool all_right = true;
  std::size_t stack_bytes = 0;  // the deepest that a task's stack reached
  double thread_us = 0;         // one plain thread
  double task_us = 0;           // one task
  double threads_us = 0;        // a hundred threads at once
  double tasks_us = 0;          // a hundred tasks at once, on one thread
};

// Makes the call some hundreds of times, outside of any loop and in loops of its own.
Costs measure_costs(const std::function<bool()>& call);

class ClientTable {
 public:
  // One test's outcome, in a word; a null column is none of the table's.
  void add(const std::string& client, const std::string& functions, const char* column,
           const std::string& outcome);
  void add_costs(const std::string& client, const Costs& costs);
  // Replaces what is between the markers. Error: std::runtime_error if the file has none, or some client was
  // not tried.
  void write_into(const std::string& path) const;

 private:
  struct Row {
    std::string functions;
    std::map<std::string, std::string> outcomes;  // by column
    Costs costs;
  };
  std::vector<std::string> columns_;  // in the order in which they were seen
  std::map<std::string, Row> rows_;
};

ClientTable& client_table();

}  // namespace aiofiber::clients_test
