// SPDX-License-Identifier: Apache-2.0
//
// StreamReader fed by hand: read, readline, readexactly, readuntil, limit, eof, exception.
// The twin of python/085_streamreader.py.
#include "../conf.h"

namespace conf::s085 {

static Verbatim bytes(std::string_view text) { return {"b" + py_string(text)}; }

// What an error has besides its text, as Python's getattr(error, "partial", "") and so on would give it.
static void failed(const char* label) {
  try {
    throw;
  } catch (const asyncio::IncompleteReadError& error) {
    log(label, "IncompleteReadError", error.what(), bytes(error.partial()), "");
  } catch (const asyncio::LimitOverrunError& error) {
    log(label, "LimitOverrunError", error.what(), "", error.consumed());
  } catch (const asyncio::ValueError& error) {
    log(label, "ValueError", error.what(), "", "");
  } catch (const asyncio::RuntimeError& error) {
    log(label, "RuntimeError", error.what(), "", "");
  } catch (const OSError& error) {
    log(label, "OSError", error.what(), "", "");
  }
}

static void t(const char* label, asyncio::Coroutine<std::string> aw) {
  try {
    const std::string got = asyncio::await(std::move(aw));
    log(label, bytes(got));
  } catch (const asyncio::CancelledError&) {
    throw;
  } catch (const std::exception&) {
    failed(label);
  }
}

static void waiting(asyncio::StreamReader r) {
  asyncio::Task<> k = asyncio::create_task(t, "readexactly waits", r.readexactly(12));
  asyncio::await(asyncio::sleep(0s));
  log("still");
  r.feed_data("123456789");
  asyncio::await(k);
  r.feed_data("tail");
  asyncio::Task<> all = asyncio::create_task(t, "read(-1)", r.read());
  asyncio::await(asyncio::sleep(0s));
  r.feed_eof();
  asyncio::await(all);
  log("at_eof", r.at_eof());
  t("read", r.read(5));
  t("readline", r.readline());
}

static void at_the_end() {
  asyncio::StreamReader r;
  r.feed_data("abc");
  r.feed_eof();
  t("readline without newline", r.readline());
  asyncio::StreamReader short_one;
  short_one.feed_data("abc");
  short_one.feed_eof();
  t("readexactly", short_one.readexactly(5));
  asyncio::StreamReader parts;
  parts.feed_data("a--b--");
  t("readuntil", parts.readuntil("--"));
  parts.feed_eof();
  t("readuntil", parts.readuntil("--"));
  t("readuntil", parts.readuntil("--"));
}

static void errors() {
  asyncio::StreamReader r(4);
  r.feed_data("0123456789\n");
  t("limit", r.readuntil());
  t("readline over limit", r.readline());
  log("line was dropped", Verbatim{"bytearray(b" + py_string(r.state()->buffer.view()) + ")"});
  r.feed_data("new");
  t("after", r.read(3));
  asyncio::StreamReader failing;
  failing.set_exception(OSError("boom"));
  t("exception", failing.read(1));
  asyncio::StreamReader shared;
  asyncio::Task<std::string> k = asyncio::create_task(shared.read(1));
  asyncio::await(asyncio::sleep(0s));
  t("two readers", shared.readline());
  k.cancel();
  t("negative", shared.readexactly(-1));
  t("empty separator", shared.readuntil(""));
}

static void lines() {
  asyncio::StreamReader r;
  r.feed_data("x\ny\n");
  r.feed_eof();
  std::vector<Verbatim> all;
  for (std::string line = asyncio::await(r.readline()); !line.empty(); line = asyncio::await(r.readline()))
    all.push_back(bytes(line));
  log(all);
}

SCENARIO(085_streamreader) {
  run([] {
    asyncio::StreamReader r;
    r.feed_data("line1\nline2\nrest");
    t("readline", r.readline());
    t("read(3)", r.read(3));
    t("read(0)", r.read(0));
    waiting(r);
    at_the_end();
    errors();
    lines();
  });
}

}  // namespace conf::s085
