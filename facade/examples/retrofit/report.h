// SPDX-License-Identifier: Apache-2.0
//
// A report about customers, written years ago in the usual blocking style: PostgreSQL by libpq, a score from
// an HTTP service by libcurl, Redis as a cache by hiredis, a log file. It knows nothing of aiofiber, and
// nothing in it was changed for main_after.cc: the two programs link the same report.cc.
#pragma once

#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

struct redisContext;

// Where everything is.
struct Settings {
  std::string database;       // libpq's conninfo
  std::string score_service;  // the URL up to the customer's name
  int redis_port;             // on 127.0.0.1
  std::string log_file;       // is begun anew
  int customers;              // how many there are to report on
};

// From the environment (POSTGRES_CONNINFO, HTTP_URL, REDIS_PORT: what with_servers sets) and the arguments
// LOG_FILE and CUSTOMERS. Ends the program with a message if something is missing.
Settings settings_from(int argc, char** argv);

// Its functions may be called by several threads at once, as a report of the time before fibers would have
// it.
class Report {
 public:
  // Connects to the cache. Error: std::runtime_error.
  explicit Report(Settings settings);

  // The line about one customer; takes a fifth of a second, most of it waiting for others.
  // Errors: std::runtime_error when the database, the service or the cache fails.
  std::string line_about(int customer);

 private:
  std::string cached(const std::string& key);  // empty: not there
  void store(const std::string& key, const std::string& value);
  void log(int customer, const char* source);

  Settings settings_;
  std::mutex cache_mutex_;  // guards cache_, also while it waits for Redis
  std::unique_ptr<redisContext, void (*)(redisContext*)> cache_;
  std::mutex log_mutex_;  // guards log_ and lines_logged_
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> log_;
  int lines_logged_ = 0;
};
