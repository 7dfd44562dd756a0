// SPDX-License-Identifier: Apache-2.0
//
// A report about customers in the usual blocking style: PostgreSQL through libpq, a score from an HTTP
// service through libcurl, Redis as a cache through hiredis, and a log file. It does not know aiofiber.
// main_before.cc and main_after.cc link the same, unchanged report.cc.
#pragma once

#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

struct redisContext;

// Addresses and paths of the report.
struct Settings {
  std::string database;       // libpq's conninfo
  std::string score_service;  // the URL up to the customer's name
  int redis_port;             // on 127.0.0.1
  std::string log_file;       // the report truncates it
  int customers;              // how many customers to report on
};

// Reads the environment (POSTGRES_CONNINFO, HTTP_URL, REDIS_PORT, as with_servers sets them) and the
// arguments LOG_FILE and CUSTOMERS. Ends the program with a message if something is missing.
Settings settings_from(int argc, char** argv);

// Several threads may call its functions at once, as a report without fibers would need.
class Report {
 public:
  // Connects to the cache. Error: std::runtime_error.
  explicit Report(Settings settings);

  // The line about one customer. Takes a fifth of a second, most of it waiting for the servers.
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
