// SPDX-License-Identifier: Apache-2.0
//
// Other libraries' event loops in cancelled tasks. The process survives, and the loop ends with an error that
// it handles, or by itself. Meanwhile it does not keep the processor busy.
#include <ev.h>
#include <event2/event.h>
#include <glib-unix.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>
#include <zmq.h>
#include <utility>  // Boost 1.74's Asio forgets it

#include <array>
#include <boost/asio.hpp>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>

#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

double processor_seconds() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

enum class Way { CANCEL, WAIT_FOR };

class EventLoop : public testing::TestWithParam<Way> {
 protected:
  // body() would last half a second and more by itself. How long it lasted after it was cut off, in seconds.
  static double cut_off(const std::function<void()>& body) {
    double seconds = 0;
    asyncio::run([&] {
      auto task = asyncio::create_task(body);
      asyncio::await(asyncio::sleep(50ms));
      EXPECT_FALSE(task.done());
      const double busy_before = processor_seconds();
      seconds = seconds_of([&] {
        if (GetParam() == Way::CANCEL) {
          task.cancel();
          EXPECT_THROW(asyncio::await(task), asyncio::CancelledError);
        } else {
          EXPECT_THROW(asyncio::await(asyncio::wait_for(task, 10ms)), asyncio::TimeoutError);
        }
      });
      EXPECT_LT(processor_seconds() - busy_before, 0.02 + 0.25 * seconds)
          << "it spun for " << seconds << " s";
    });
    return seconds;
  }
};
INSTANTIATE_TEST_SUITE_P(Ways, EventLoop, testing::Values(Way::CANCEL, Way::WAIT_FOR),
                         [](const auto& instance) {
                           return instance.param == Way::CANCEL ? "cancel" : "wait_for";
                         });

constexpr double kTimer = 0.5;  // of each loop, in seconds
constexpr auto kTimerDuration = std::chrono::milliseconds(500);

TEST_P(EventLoop, OfZeroMqReportsASignal) {
  const std::unique_ptr<void, decltype(&zmq_ctx_term)> context(zmq_ctx_new(), &zmq_ctx_term);
  for (const char* const address : {"inproc://nobody", "tcp://127.0.0.1:*"}) {
    const double seconds = cut_off([&] {
      const std::unique_ptr<void, decltype(&zmq_close)> socket(zmq_socket(context.get(), ZMQ_PULL),
                                                               &zmq_close);
      EXPECT_EQ(zmq_bind(socket.get(), address), 0);
      char byte;
      EXPECT_EQ(zmq_recv(socket.get(), &byte, 1, 0), -1);
      EXPECT_EQ(zmq_errno(), EINTR);
    });
    EXPECT_LT(seconds, 0.4);
  }
}

TEST_P(EventLoop, OfLibuvGoesOnToItsEnd) {
  bool rang = false;
  cut_off([&] {
    uv_loop_t loop;
    uv_loop_init(&loop);
    uv_timer_t timer;
    uv_timer_init(&loop, &timer);
    timer.data = &rang;
    uv_timer_start(
        &timer,
        [](uv_timer_t* self) {
          *static_cast<bool*>(self->data) = true;
          uv_close(reinterpret_cast<uv_handle_t*>(self), nullptr);
        },
        static_cast<std::uint64_t>(kTimerDuration.count()), 0);
    EXPECT_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
    EXPECT_EQ(uv_loop_close(&loop), 0);
  });
  EXPECT_TRUE(rang);
}

TEST_P(EventLoop, OfLibevGoesOnToItsEndWithEachBackend) {
  for (const unsigned backend : {EVBACKEND_EPOLL, EVBACKEND_POLL, EVBACKEND_SELECT}) {
    bool rang = false;
    cut_off([&] {
      struct ev_loop* const loop = ev_loop_new(backend);
      ASSERT_NE(loop, nullptr);
      ev_timer timer;
      ev_timer_init(
          &timer,
          [](struct ev_loop* own, ev_timer* self, int) {
            *static_cast<bool*>(self->data) = true;
            ev_break(own, EVBREAK_ALL);
          },
          kTimer, 0.);
      timer.data = &rang;
      ev_timer_start(loop, &timer);
      ev_run(loop, 0);
      ev_loop_destroy(loop);
    });
    EXPECT_TRUE(rang) << backend;
  }
}

TEST_P(EventLoop, OfLibeventEndsWithAnErrorWithEachMethod) {
  event_set_log_callback([](int, const char*) {});
  for (const char* const method : {"epoll", "poll", "select"}) {
    const double seconds = cut_off([&] {
      const std::unique_ptr<event_config, decltype(&event_config_free)> config(event_config_new(),
                                                                               &event_config_free);
      for (const std::string other : {"epoll", "poll", "select"}) {
        if (other != method) event_config_avoid_method(config.get(), other.c_str());
      }
      event_base* const base = event_base_new_with_config(config.get());
      ASSERT_NE(base, nullptr);
      EXPECT_STREQ(event_base_get_method(base), method);
      event* const timer = evtimer_new(
          base, [](evutil_socket_t, short, void*) {}, nullptr);
      const timeval hour{3600, 0};
      event_add(timer, &hour);
      EXPECT_EQ(event_base_dispatch(base), -1);
      event_free(timer);
      event_base_free(base);
    });
    EXPECT_LT(seconds, 0.4) << method;
  }
  event_set_log_callback(nullptr);
}

TEST_P(EventLoop, OfAsioGoesOnToItsEnd) {
  bool rang = false;
  cut_off([&] {
    boost::asio::io_context context;
    boost::asio::steady_timer timer(context, kTimerDuration);
    timer.async_wait([&](const boost::system::error_code& error) { rang = !error; });
    context.run();
  });
  EXPECT_TRUE(rang);
}

// A timer writes to a socket, and the source that watches its other end ends the loop.
TEST_P(EventLoop, OfGLibGoesOnToItsEnd) {
  std::string complaints;
  g_log_set_default_handler([](const gchar*, GLogLevelFlags, const gchar* text,
                               gpointer to) { *static_cast<std::string*>(to) += text; },
                            &complaints);
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
  bool arrived = false;
  cut_off([&] {
    GMainContext* const context = g_main_context_new();
    GMainLoop* const loop = g_main_loop_new(context, FALSE);
    GSource* const timer = g_timeout_source_new(static_cast<guint>(kTimerDuration.count()));
    g_source_set_callback(
        timer, [](gpointer fd) { return gboolean{::write(*static_cast<int*>(fd), "x", 1) != 1}; }, &ends[1],
        nullptr);
    GSource* const socket = g_unix_fd_source_new(ends[0], G_IO_IN);
    const GUnixFDSourceFunc on_input = [](gint fd, GIOCondition, gpointer own) {
      char byte = 0;
      EXPECT_EQ(::read(fd, &byte, 1), 1);
      g_main_loop_quit(static_cast<GMainLoop*>(own));
      return gboolean{FALSE};
    };
    g_source_set_callback(socket, reinterpret_cast<GSourceFunc>(reinterpret_cast<void (*)()>(on_input)), loop,
                          nullptr);
    for (GSource* const source : {timer, socket}) {
      g_source_attach(source, context);
      g_source_unref(source);
    }
    g_main_loop_run(loop);
    arrived = true;
    g_main_loop_unref(loop);
    g_main_context_unref(context);
  });
  EXPECT_TRUE(arrived);
  EXPECT_EQ(complaints, "");
  for (const int end : ends) ::close(end);
  g_log_set_default_handler(g_log_default_handler, nullptr);
}

}  // namespace
}  // namespace aiofiber::clients_test
