// SPDX-License-Identifier: Apache-2.0
//
// Each function calls a C library and waits for its answer. None of them knows of tasks.
#include "report.h"

#include <curl/curl.h>
#include <hiredis/hiredis.h>
#include <libpq-fe.h>

#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <utility>

namespace {

struct Orders {
  std::string name;
  std::string count;
  std::string total;
};

// One customer's orders, through a separate connection. The query takes 0.1 s in the database (orders.sql).
Orders query_orders(const std::string& conninfo, int customer) {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> database(PQconnectdb(conninfo.c_str()), &PQfinish);
  const std::string sql = "select name, orders, total from summary_of(" + std::to_string(customer) + ")";
  const std::unique_ptr<PGresult, decltype(&PQclear)> rows(PQexec(database.get(), sql.c_str()), &PQclear);
  if (PQresultStatus(rows.get()) != PGRES_TUPLES_OK) throw std::runtime_error(PQerrorMessage(database.get()));
  if (PQntuples(rows.get()) != 1)
    throw std::runtime_error("there is no customer " + std::to_string(customer));
  return {PQgetvalue(rows.get(), 0, 0), PQgetvalue(rows.get(), 0, 1), PQgetvalue(rows.get(), 0, 2)};
}

std::size_t append(char* data, std::size_t size, std::size_t count, void* body) {
  static_cast<std::string*>(body)->append(data, size * count);
  return size * count;
}

// The body at the URL, without its last newline.
std::string fetch_score(const std::string& url) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
  std::string body;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 20L);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) throw std::runtime_error(url + ": " + curl_easy_strerror(code));
  if (!body.empty() && body.back() == '\n') body.pop_back();
  return body;
}

using Reply = std::unique_ptr<redisReply, decltype(&freeReplyObject)>;

// Takes hiredis' untyped reply. Error: std::runtime_error with the connection's message if there is no reply.
Reply checked(redisContext* context, void* reply) {
  if (reply == nullptr) throw std::runtime_error(std::string("Redis: ") + context->errstr);
  return {static_cast<redisReply*>(reply), &freeReplyObject};
}

std::string from_environment(const char* name) {
  if (const char* value = ::secure_getenv(name)) return value;
  std::cerr << name << " is not set; with_servers postgres redis http -- PROGRAM ... sets it\n";
  std::exit(2);
}

}  // namespace

Settings settings_from(int argc, char** argv) {
  const int customers = argc == 3 ? std::atoi(argv[2]) : 0;
  if (customers <= 0) {
    std::cerr << "usage: " << argv[0] << " LOG_FILE CUSTOMERS\n";
    std::exit(2);
  }
  return {from_environment("POSTGRES_CONNINFO"), from_environment("HTTP_URL") + "/score/",
          std::stoi(from_environment("REDIS_PORT")), argv[1], customers};
}

Report::Report(Settings settings)
    : settings_(std::move(settings)),
      cache_(redisConnect("127.0.0.1", settings_.redis_port), &redisFree),
      log_(std::fopen(settings_.log_file.c_str(), "w"), &std::fclose) {
  if (cache_ == nullptr || cache_->err != 0) throw std::runtime_error("cannot connect to Redis");
  if (log_ == nullptr) throw std::runtime_error("cannot write " + settings_.log_file);
}

std::string Report::line_about(int customer) {
  const std::string key = "report:" + std::to_string(customer);
  std::string line = cached(key);
  const bool was_cached = !line.empty();
  if (!was_cached) {
    const Orders orders = query_orders(settings_.database, customer);
    const std::string score = fetch_score(settings_.score_service + orders.name);
    line = orders.name + ": " + orders.count + " orders, " + orders.total + " EUR, " + score;
    store(key, line);
  }
  log(customer, was_cached ? "the cache" : "the database and the service");
  return line;
}

std::string Report::cached(const std::string& key) {
  const std::lock_guard<std::mutex> lock(cache_mutex_);
  const Reply reply = checked(cache_.get(), redisCommand(cache_.get(), "GET %s", key.c_str()));
  return reply->type == REDIS_REPLY_STRING ? std::string(reply->str, reply->len) : std::string();
}

void Report::store(const std::string& key, const std::string& value) {
  const std::lock_guard<std::mutex> lock(cache_mutex_);
  checked(cache_.get(), redisCommand(cache_.get(), "SET %s %s", key.c_str(), value.c_str()));
}

void Report::log(int customer, const char* source) {
  const std::lock_guard<std::mutex> lock(log_mutex_);
  std::fprintf(log_.get(), "%d: customer %d from %s\n", ++lines_logged_, customer, source);
  std::fflush(log_.get());
}
