// SPDX-License-Identifier: Apache-2.0
//
// An EventLoop inside GLib's main loop: its tasks run between the callbacks of a GTK program, say. GLib
// watches the loop's descriptor and sleeps no longer than until its next deadline.
#include <glib-unix.h>
#include <glib.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>

#include "aiofiber/asyncio.h"

using namespace std::chrono_literals;

namespace {

// A source of GLib's events. GLib allocates it, so it holds only pointers.
struct LoopSource {
  GSource source;
  asyncio::EventLoop* loop;
  GMainLoop* main;
  gpointer watched;           // the descriptor
  std::exception_ptr* error;  // an exception must not pass through GLib's frames
};

LoopSource& of(GSource* source) { return *reinterpret_cast<LoopSource*>(source); }

// Milliseconds until the loop wants to run; -1: not before its descriptor is readable.
int time_left(asyncio::EventLoop& loop) {
  const auto next = loop.next_deadline();
  if (!next) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - loop.time()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, G_MAXINT));
}

gboolean prepare(GSource* source, gint* timeout) {
  *timeout = time_left(*of(source).loop);
  return *timeout == 0;
}

gboolean check(GSource* source) {
  return g_source_query_unix_fd(source, of(source).watched) != 0 || time_left(*of(source).loop) == 0;
}

gboolean dispatch(GSource* source, GSourceFunc, gpointer) {
  try {
    of(source).loop->run_once(0s);
  } catch (...) {
    *of(source).error = std::current_exception();
    g_main_loop_quit(of(source).main);
  }
  return G_SOURCE_CONTINUE;
}

GSourceFuncs functions = {prepare, check, dispatch, nullptr, nullptr, nullptr};

// A callback of GLib that gives a task something to do.
gboolean on_tick(gpointer data) {
  const auto& ticks = *static_cast<asyncio::Channel<int>*>(data);
  static int number = 0;
  ticks.put_nowait(++number);
  if (number < 3) return G_SOURCE_CONTINUE;
  ticks.shutdown();
  return G_SOURCE_REMOVE;
}

}  // namespace

int main() {
  asyncio::EventLoop loop;
  std::exception_ptr error;
  GMainLoop* const main = g_main_loop_new(nullptr, FALSE);
  GSource* const source = g_source_new(&functions, sizeof(LoopSource));
  of(source).loop = &loop;
  of(source).main = main;
  of(source).error = &error;
  of(source).watched = g_source_add_unix_fd(source, loop.backend_fd(), G_IO_IN);
  g_source_attach(source, nullptr);

  asyncio::Channel<int> ticks(3);
  g_timeout_add(1, on_tick, &ticks);

  auto listener = loop.create_task([&] {
    try {
      for (;;) {
        const int number = asyncio::await(ticks.get());
        std::cout << "GLib's tick " << number << '\n';
      }
    } catch (const asyncio::QueueShutDown&) {
      std::cout << "no more ticks\n";
    }
  });
  auto program = loop.create_task([&] {
    asyncio::await(listener);
    asyncio::await(asyncio::sleep(1ms));
    std::cout << "slept in a task\n";
    std::cout << asyncio::await(asyncio::to_thread([] { return std::string("called on a thread\n"); }));
    asyncio::await(asyncio::get_running_loop().shutdown_default_executor());
  });
  program.add_done_callback([&](const auto&) { g_main_loop_quit(main); });

  g_main_loop_run(main);
  g_source_destroy(source);
  g_source_unref(source);
  g_main_loop_unref(main);
  loop.close();
  if (error) std::rethrow_exception(error);
}
