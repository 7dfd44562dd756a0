// SPDX-License-Identifier: Apache-2.0
//
// libcurl's easy interface in tasks. It resolves names in its own thread and waits for that in poll().
#include <curl/curl.h>

#include <memory>

#include "client_test.h"
#include "servers/servers.h"

namespace aiofiber::clients_test {
namespace {

class Libcurl : public ClientTest<HttpServer> {};

std::size_t append(char* data, std::size_t size, std::size_t count, void* body) {
  static_cast<std::string*>(body)->append(data, size * count);
  return size * count;
}

struct Page {
  CURLcode code;
  std::string body;
};

Page fetch(const std::string& url, long timeout_ms = 20'000) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
  Page page;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &page.body);
  curl_easy_setopt(curl.get(), CURLOPT_CAINFO, server<HttpServer>().certificate().c_str());
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, timeout_ms);
  page.code = curl_easy_perform(curl.get());
  return page;
}

bool is_slow_page(const Page& page) { return page.code == CURLE_OK && page.body == "slow\n"; }

TEST_F(Libcurl, FetchesAHundredSlowPagesAtOnce) {
  const std::string url = server<HttpServer>().url("/slow");
  EXPECT_OVERLAPPING(100, concurrently(100, [&](int) { return is_slow_page(fetch(url)); }));
}

TEST_F(Libcurl, FetchesAHundredSlowPagesAtOnceOverTls) {
  const std::string url = server<HttpServer>().https_url("/slow");
  EXPECT_OVERLAPPING(100, concurrently(100, [&](int) { return is_slow_page(fetch(url)); }));
}

TEST_F(Libcurl, FetchesAHundredSlowPagesAtOnceFromAServerGivenByName) {
  const std::string url = server<HttpServer>().https_url("/slow", "localhost");
  EXPECT_OVERLAPPING(100, concurrently(100, [&](int) { return is_slow_page(fetch(url)); }));
}

TEST_F(Libcurl, FetchesBodiesOfFiveMegabytes) {
  EXPECT_ALL(16, concurrently(16, [](int i) {
               HttpServer& http = server<HttpServer>();
               const Page page = fetch(i % 2 == 0 ? http.url("/5m") : http.https_url("/5m"));
               return page.code == CURLE_OK && page.body == std::string(5'000'000, 'y');
             }));
}

TEST_F(Libcurl, KeepsItsOwnTimeout) {
  const std::string url = server<HttpServer>().url("/never");
  const Concurrently outcome =
      concurrently(20, [&](int) { return fetch(url, 300).code == CURLE_OPERATION_TIMEDOUT; });
  EXPECT_EQ(outcome.succeeded, 20);
  EXPECT_LT(outcome.seconds, 2.0);
}

TEST_F(Libcurl, IsGivenUpByWaitForInMidRequest) {
  const double seconds = seconds_of([] {
    asyncio::run([] {
      const std::string url = server<HttpServer>().https_url("/never");
      EXPECT_THROW(asyncio::await(asyncio::wait_for([&] { return fetch(url).body; }, 300ms)),
                   asyncio::TimeoutError);
      EXPECT_EQ(fetch(server<HttpServer>().https_url("/1k")).body, std::string(1000, 'x'));
    });
  });
  EXPECT_LT(seconds, 3.0);
}

}  // namespace
}  // namespace aiofiber::clients_test
