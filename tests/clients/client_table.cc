// SPDX-License-Identifier: Apache-2.0
//
// The text of the table. Sizes are rounded up to KiB, times to microseconds: smaller units would be noise.
#include "client_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace aiofiber::clients_test {

namespace {

const char* const kBegin = "<!-- clients:begin -->";
const char* const kEnd = "<!-- clients:end -->";

std::string rounded(double number) { return std::to_string(std::lround(number)); }

class WriteTable : public testing::Environment {
  void TearDown() override {
    if (const char* path = std::getenv("AIOFIBER_CLIENT_TABLE")) client_table().write_into(path);
  }
};
const auto* const registered = testing::AddGlobalTestEnvironment(new WriteTable);

}  // namespace

void ClientTable::add(const std::string& client, const std::string& functions, const char* column,
                      const std::string& outcome) {
  Row& row = rows_[client];
  row.functions = functions;
  if (column == nullptr) return;
  if (std::find(columns_.begin(), columns_.end(), column) == columns_.end()) columns_.emplace_back(column);
  row.outcomes[column] = outcome;
}

void ClientTable::add_costs(const std::string& client, const Costs& costs) { rows_[client].costs = costs; }

void ClientTable::write_into(const std::string& path) const {
  std::ostringstream table;
  table << "| client | waits in |";
  for (const std::string& column : columns_) table << ' ' << column << " |";
  table << " stack | CPU a call: thread, task | 100 at once: threads, tasks |\n|---|---|";
  for (std::size_t i = 0; i < columns_.size(); ++i) table << "---|";
  table << "---|---|---|\n";
  for (const auto& [client, row] : rows_) {
    if (row.outcomes.size() != columns_.size() || row.costs.tasks_us == 0) {
      throw std::runtime_error("the table wants a whole run of the matrix; something of " + client +
                               " is missing");
    }
    table << "| " << client << " | " << row.functions << " |";
    for (const std::string& column : columns_) table << ' ' << row.outcomes.at(column) << " |";
    table << ' ' << (row.costs.stack_bytes + 1023) / 1024 << " KiB | " << rounded(row.costs.thread_us) << ", "
          << rounded(row.costs.task_us) << " µs | " << rounded(row.costs.threads_us) << ", "
          << rounded(row.costs.tasks_us) << " µs |\n";
  }
  std::ifstream in(path);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const std::size_t begin = text.find(kBegin), end = text.find(kEnd);
  if (begin == std::string::npos || end == std::string::npos || end < begin) {
    throw std::runtime_error(path + " has no lines " + kBegin + " and " + kEnd);
  }
  std::ofstream out(path);
  out << text.substr(0, begin) << kBegin << '\n' << table.str() << text.substr(end);
  if (!out.flush()) throw std::runtime_error("cannot write " + path);
}

ClientTable& client_table() {
  static ClientTable table;
  return table;
}

}  // namespace aiofiber::clients_test
