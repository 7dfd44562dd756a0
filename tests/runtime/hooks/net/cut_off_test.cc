// SPDX-License-Identifier: Apache-2.0
//
// Connections on which a call was interrupted: no later call ever gets the answer to an earlier request.
//
// Both ends belong to the test, and only the test sends, so the outstanding data is known.
// Real sockets and real time: a call is interrupted after some milliseconds; otherwise it would last for
// ever.
// Labels: long
#include <aiofiber/asyncio.h>
#include <aiofiber/hooks.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "hooks/core/cut_off.h"

namespace aiofiber::hooks_test {
namespace {

using namespace std::chrono_literals;

// ---- what is done to a call

enum class Way { CANCEL, WAIT_FOR };

// Ends a call that would last for ever. Precondition: in a task.
void cut_short(Way way, const std::function<void()>& call) {
  if (way == Way::WAIT_FOR) {
    EXPECT_THROW(asyncio::await(asyncio::wait_for(call, 10ms)), asyncio::TimeoutError);
    return;
  }
  auto task = asyncio::create_task(call);
  asyncio::await(asyncio::sleep(5ms));
  EXPECT_FALSE(task.done());
  task.cancel();
  EXPECT_THROW(asyncio::await(task), asyncio::CancelledError);
}

// ---- connections

void set_nonblocking(int fd) { EXPECT_EQ(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK), 0); }

// "error: ..." or the bytes that were there; the empty text is the end of the stream.
std::string receive(int fd) {
  char bytes[256];
  const ssize_t length = ::recv(fd, bytes, sizeof bytes, 0);
  return length < 0 ? std::string("error: ") + ::strerror(errno)
                    : std::string(bytes, static_cast<std::size_t>(length));
}
// Returns 0 or the error number. A dead connection may raise SIGPIPE.
int transmit(int fd, const std::string& text) {
  return ::send(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) ? 0 : errno;
}

// A server's answer; it may find the client gone.
void answer(int fd, const std::string& text) {
  static_cast<void>(::send(fd, text.data(), text.size(), MSG_NOSIGNAL));
}

class Connection {
 public:
  // TCP. client() has called connect(), server() was returned by accept().
  static Connection tcp() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return Connection(reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  static Connection local(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ::unlink(path.c_str());
    return Connection(reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  // Two ends, neither of which has accepted anything.
  static Connection pair(int type = SOCK_STREAM) {
    Connection made;
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, type, 0, fds), 0);
    made.client_ = fds[0];
    made.server_ = fds[1];
    return made;
  }
  ~Connection() {
    for (const int fd : {client_, server_}) {
      if (fd >= 0) ::close(fd);
    }
  }
  Connection(Connection&& other) noexcept
      : client_(std::exchange(other.client_, -1)), server_(std::exchange(other.server_, -1)) {}
  Connection& operator=(Connection&&) = delete;

  int client() const { return client_; }
  int server() const { return server_; }
  void close_client() { ::close(std::exchange(client_, -1)); }

  // The next question is given no answer, least of all an old one.
  void expect_that_the_client_is_given_up() const {
    EXPECT_EQ(transmit(client_, "3?"), EPIPE);
    EXPECT_EQ(receive(client_), std::string("error: ") + ::strerror(ECONNRESET));
  }
  void expect_that_it_works() const {
    EXPECT_EQ(transmit(client_, "3?"), 0);
    EXPECT_EQ(receive(server_), "3?");
    answer(server_, "3");
    EXPECT_EQ(receive(client_), "3");
  }

 private:
  Connection() = default;
  Connection(sockaddr* address, socklen_t length) {
    const int listener = ::socket(address->sa_family, SOCK_STREAM, 0);
    EXPECT_EQ(::bind(listener, address, length), 0);
    EXPECT_EQ(::listen(listener, 1), 0);
    socklen_t bound = length;
    EXPECT_EQ(::getsockname(listener, address, &bound), 0);
    client_ = ::socket(address->sa_family, SOCK_STREAM, 0);
    EXPECT_EQ(::connect(client_, address, bound), 0);
    server_ = ::accept(listener, nullptr, nullptr);
    EXPECT_GE(server_, 0);
    ::close(listener);
  }

  int client_ = -1, server_ = -1;
};

// ---- the ways in which clients wait for an answer

using Wait = std::function<void(int)>;

const std::map<std::string, Wait>& waits() {
  static const std::map<std::string, Wait> all = {
      {"recv", [](int fd) { receive(fd); }},
      {"recv_all",
       [](int fd) {
         char bytes[64];
         static_cast<void>(::recv(fd, bytes, sizeof bytes, MSG_WAITALL));
       }},
      {"recvfrom",
       [](int fd) {
         char byte;
         static_cast<void>(::recvfrom(fd, &byte, 1, 0, nullptr, nullptr));
       }},
      {"recvmsg",
       [](int fd) {
         char byte;
         iovec piece{&byte, 1};
         msghdr message{};
         message.msg_iov = &piece;
         message.msg_iovlen = 1;
         static_cast<void>(::recvmsg(fd, &message, 0));
       }},
      {"read",
       [](int fd) {
         char byte;
         static_cast<void>(::read(fd, &byte, 1));
       }},
      {"readv",
       [](int fd) {
         char byte;
         const iovec piece{&byte, 1};
         static_cast<void>(::readv(fd, &piece, 1));
       }},
      {"poll",
       [](int fd) {
         set_nonblocking(fd);
         pollfd entry{fd, POLLIN, 0};
         static_cast<void>(::poll(&entry, 1, -1));
       }},
      {"ppoll",
       [](int fd) {
         pollfd entries[] = {{-1, POLLIN, 0}, {fd, POLLIN | POLLPRI, 0}};
         const timespec hour{3600, 0};
         static_cast<void>(::ppoll(entries, 2, &hour, nullptr));
       }},
      {"select",
       [](int fd) {
         fd_set readable;
         FD_ZERO(&readable);
         FD_SET(fd, &readable);
         timeval hour{3600, 0};
         if (::select(fd + 1, &readable, nullptr, nullptr, &hour) < 0) {
           EXPECT_TRUE(FD_ISSET(fd, &readable)) << "a select that fails leaves its sets as they were";
         }
       }},
      {"fgets",
       [](int fd) {
         std::FILE* const file = ::fdopen(::dup(fd), "r");
         char line[16];
         EXPECT_EQ(std::fgets(line, sizeof line, file), nullptr);
         std::fclose(file);
       }},
  };
  return all;
}

class Asked : public testing::TestWithParam<std::tuple<std::string, Way>> {
 protected:
  void SetUp() override { ASSERT_TRUE(hooks::enable_stdio()); }
  void wait(int fd) const { waits().at(std::get<0>(GetParam()))(fd); }
  Way way() const { return std::get<1>(GetParam()); }
  // In the call that asks, as a client library has it.
  void ask_and_be_cut_off(const Connection& connection) const {
    cut_short(way(), [&] {
      EXPECT_EQ(transmit(connection.client(), "2?"), 0);
      wait(connection.client());
    });
  }
};

TEST_P(Asked, AgainGetsNoAnswerToTheQuestionBefore) {
  asyncio::run([&] {
    for (const Connection& connection :
         {Connection::tcp(), Connection::pair(), Connection::pair(SOCK_SEQPACKET)}) {
      ask_and_be_cut_off(connection);
      answer(connection.server(), "2");
      connection.expect_that_the_client_is_given_up();
    }
  });
}

// The server has the request and sees the end of the connection, so it can stop working.
TEST_P(Asked, TellsTheServerThatNobodyWaits) {
  asyncio::run([&] {
    const Connection connection = Connection::tcp();
    ask_and_be_cut_off(connection);
    EXPECT_EQ(receive(connection.server()), "2?");
    EXPECT_EQ(receive(connection.server()), "");
  });
}

// A part has come, the rest comes when the next question is out.
TEST_P(Asked, AgainGetsNoRestOfAnAnswer) {
  asyncio::run([&] {
    for (const Connection& connection : {Connection::tcp(), Connection::pair()}) {
      cut_short(way(), [&] {
        EXPECT_EQ(transmit(connection.client(), "2?"), 0);
        answer(connection.server(), "first half");
        EXPECT_EQ(receive(connection.client()), "first half");
        wait(connection.client());
      });
      EXPECT_EQ(transmit(connection.client(), "3?"), EPIPE);
      answer(connection.server(), "second half");
      EXPECT_EQ(receive(connection.client()), std::string("error: ") + ::strerror(ECONNRESET));
    }
  });
}

// A server that greets: its first words are no answer to the first question.
TEST_P(Asked, AgainGetsNoGreeting) {
  asyncio::run([&] {
    const Connection connection = Connection::tcp();
    cut_short(way(), [&] { wait(connection.client()); });
    EXPECT_EQ(transmit(connection.client(), "hello?"), EPIPE);
  });
}

TEST_P(Asked, MayReadOnWhereItHasAskedNothingElse) {
  asyncio::run([&] {
    const Connection connection = Connection::tcp();
    EXPECT_EQ(transmit(connection.client(), "subscribe"), 0);
    answer(connection.server(), "yes");
    EXPECT_EQ(receive(connection.client()), "yes");
    for (int i = 0; i < 3; ++i) cut_short(way(), [&] { wait(connection.client()); });
    answer(connection.server(), "news");
    EXPECT_EQ(receive(connection.client()), "news");
  });
}

TEST_P(Asked, ServersGoOnWithTheNextRequest) {
  asyncio::run([&] {
    const Connection connection = Connection::tcp();
    for (int i = 0; i < 3; ++i) {
      connection.expect_that_it_works();
      cut_short(way(), [&] { wait(connection.server()); });
    }
    connection.expect_that_it_works();
  });
}

INSTANTIATE_TEST_SUITE_P(Waits, Asked,
                         testing::Combine(testing::ValuesIn([] {
                                            std::vector<std::string> names;
                                            for (const auto& [name, wait] : waits()) names.push_back(name);
                                            return names;
                                          }()),
                                          testing::Values(Way::CANCEL, Way::WAIT_FOR)),
                         [](const auto& instance) {
                           return std::get<0>(instance.param) +
                                  (std::get<1>(instance.param) == Way::CANCEL ? "_cancel" : "_wait_for");
                         });

// ---- one way of waiting will do

class CutOffConnection : public testing::TestWithParam<Way> {
 protected:
  // A question that waits for its answer for ever.
  static void ask(int fd) {
    EXPECT_EQ(transmit(fd, "2?"), 0);
    receive(fd);
  }
};
INSTANTIATE_TEST_SUITE_P(Ways, CutOffConnection, testing::Values(Way::CANCEL, Way::WAIT_FOR),
                         [](const auto& instance) {
                           return instance.param == Way::CANCEL ? "cancel" : "wait_for";
                         });

// The answer comes after the cancellation and before the task hears of it: it lies in the socket that is shut
// down.
TEST(CutOff, ThrowsAwayAnAnswerThatHasJustCome) {
  asyncio::run([] {
    for (const Connection& connection : {Connection::tcp(), Connection::pair()}) {
      auto task = asyncio::create_task([&] {
        EXPECT_EQ(transmit(connection.client(), "2?"), 0);
        pollfd entry{connection.client(), POLLIN, 0};
        EXPECT_EQ(::poll(&entry, 1, -1), -1);
      });
      asyncio::await(asyncio::sleep(5ms));
      task.cancel();
      answer(connection.server(), "2");
      EXPECT_THROW(asyncio::await(task), asyncio::CancelledError);
      // What libc does by itself, past the hooks, finds nothing either.
      char byte;
      EXPECT_EQ(::syscall(SYS_recvfrom, connection.client(), &byte, 1, MSG_DONTWAIT, nullptr, nullptr), 0);
      connection.expect_that_the_client_is_given_up();
    }
  });
}

TEST_P(CutOffConnection, IsDeadForDuplicatesOtherThreadsAndAfterTheLoop) {
  const Connection connection = Connection::tcp();
  const int duplicate = ::dup(connection.client());
  asyncio::run([&] {
    cut_short(GetParam(), [&] { ask(connection.client()); });
    EXPECT_EQ(transmit(duplicate, "3?"), EPIPE);
  });
  EXPECT_EQ(transmit(duplicate, "3?"), EPIPE);
  std::thread([&] { connection.expect_that_the_client_is_given_up(); }).join();
  const iovec piece{const_cast<char*>("3?"), 2};
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(&piece);
  message.msg_iovlen = 1;
  mmsghdr messages{message, 0};
  for (const auto& call : std::vector<std::function<ssize_t(int)>>{
           [](int fd) { return ::write(fd, "3?", 2); },
           [&](int fd) { return ::writev(fd, &piece, 1); },
           [](int fd) { return ::sendto(fd, "3?", 2, MSG_DONTWAIT, nullptr, 0); },
           [&](int fd) { return ::sendmsg(fd, &message, 0); },
           [&](int fd) { return static_cast<ssize_t>(::sendmmsg(fd, &messages, 1, 0)); },
       }) {
    EXPECT_EQ(call(duplicate), -1);
    EXPECT_EQ(errno, EPIPE);
  }
  ::close(duplicate);
}

// Who writes through one descriptor and reads through another, as a pair of FILEs does.
TEST_P(CutOffConnection, IsGivenUpWhenTheQuestionWentThroughADuplicate) {
  asyncio::run([&] {
    const Connection connection = Connection::tcp();
    const int writer = ::dup(connection.client());
    cut_short(GetParam(), [&] {
      EXPECT_EQ(transmit(writer, "2?"), 0);
      receive(connection.client());
    });
    answer(connection.server(), "2");
    EXPECT_EQ(transmit(writer, "3?"), EPIPE);
    EXPECT_EQ(receive(connection.client()), std::string("error: ") + ::strerror(ECONNRESET));
    ::close(writer);
  });
}

// Closing one descriptor of a connection that may be read on does not make it one that may be asked.
TEST_P(CutOffConnection, StaysGivenUpWhenADuplicateIsClosed) {
  asyncio::run([&] {
    const Connection connection = Connection::tcp();
    const int duplicate = ::dup(connection.client());
    cut_short(GetParam(), [&] { receive(duplicate); });
    ::close(duplicate);
    EXPECT_NE(::send(connection.client(), "3?", 2, MSG_NOSIGNAL), 2);
  });
}

// As long as anything is remembered each hooked call pays for it.
TEST_P(CutOffConnection, IsForgottenWithItsLastDescriptor) {
  asyncio::run([&] {
    const int before = hooks::detail::given_up_count.load();
    for (const bool duplicate_first : {true, false}) {
      for (const bool asked : {true, false}) {
        Connection connection = Connection::tcp();
        const int duplicate = ::dup(connection.client());
        cut_short(GetParam(), [&] { asked ? ask(duplicate) : static_cast<void>(receive(duplicate)); });
        EXPECT_EQ(hooks::detail::given_up_count.load(), before + 1);
        if (duplicate_first) ::close(duplicate);
        connection.close_client();
        EXPECT_EQ(hooks::detail::given_up_count.load(), before + (duplicate_first ? 0 : 1));
        if (!duplicate_first) ::close(duplicate);
        EXPECT_EQ(hooks::detail::given_up_count.load(), before);
      }
    }
  });
}

// The next connection under the same number knows nothing of the last one, however that was closed.
TEST_P(CutOffConnection, LeavesItsNumberToANewOne) {
  asyncio::run([&] {
    for (const bool asked : {true, false}) {
      for (const bool seen : {true, false}) {
        Connection connection = Connection::tcp();
        const int number = connection.client();
        cut_short(GetParam(), [&] { asked ? ask(number) : static_cast<void>(receive(number)); });
        const Connection next = Connection::tcp();
        if (seen) {
          ::close(number);
        } else {
          ::syscall(SYS_close, number);
        }
        EXPECT_EQ(::syscall(SYS_dup3, next.client(), number, 0), number);
        EXPECT_EQ(transmit(number, "3?"), 0);
        EXPECT_EQ(receive(next.server()), "3?");
        answer(next.server(), "3");
        EXPECT_EQ(receive(number), "3");
      }
    }
  });
}

// Closed and opened anew by others between the cancellation and the task's turn.
TEST(CutOff, LeavesWhoHasGotTheNumberMeanwhileAlone) {
  asyncio::run([] {
    for (const char* const name : {"recv", "read", "poll", "select"}) {
      Connection connection = Connection::tcp();
      const Connection next = Connection::tcp();
      const int number = connection.client();
      auto task = asyncio::create_task([&] {
        EXPECT_EQ(transmit(number, "2?"), 0);
        waits().at(name)(number);
      });
      asyncio::await(asyncio::sleep(5ms));
      task.cancel();
      EXPECT_EQ(::dup2(next.client(), number), number);
      EXPECT_EQ(transmit(number, "3?"), 0);
      EXPECT_THROW(asyncio::await(task), asyncio::CancelledError);
      EXPECT_EQ(receive(next.server()), "3?");
      answer(next.server(), "3");
      EXPECT_EQ(receive(number), "3") << name;
    }
  });
}

// A child closes what it has inherited; the connection is the parent's.
TEST_P(CutOffConnection, IsNotTouchedByAForkedChild) {
  asyncio::run([&] {
    const Connection connection = Connection::tcp();
    cut_short(GetParam(), [&] { receive(connection.client()); });
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(connection.client());
      ::_exit(0);
    }
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    answer(connection.server(), "news");
    EXPECT_EQ(receive(connection.client()), "news");
  });
}

// A cancelled task still asks: its clean-up. No wait is granted it, so that answer stays outstanding.
TEST_P(CutOffConnection, IsGivenUpWhereACancelledTaskAsks) {
  asyncio::run([&] {
    const Connection first = Connection::tcp();
    const Connection second = Connection::tcp();
    cut_short(GetParam(), [&] {
      ask(first.client());
      EXPECT_EQ(transmit(second.client(), "rollback?"), 0);
      EXPECT_EQ(receive(second.client()), std::string("error: ") + ::strerror(ECANCELED));
    });
    answer(second.server(), "rolled back");
    second.expect_that_the_client_is_given_up();
  });
}

// Good-byes need no answer: the peer hears them, unless the connection is shut down already; in no case do
// they take long.
TEST_P(CutOffConnection, TakesTheGoodbyeOfTheCancelledTask) {
  asyncio::run([&] {
    const Connection connection = Connection::tcp();
    cut_short(GetParam(), [&] {
      receive(connection.client());
      EXPECT_EQ(transmit(connection.client(), "bye"), 0);
      EXPECT_EQ(transmit(connection.client(), "!"), 0);
      EXPECT_EQ(receive(connection.client()), std::string("error: ") + ::strerror(ECONNRESET));
    });
    EXPECT_EQ(receive(connection.server()), "bye!");
    EXPECT_EQ(transmit(connection.client(), "3?"), EPIPE);
  });
}

// What is said on the way out may be a question, and the rest of an old answer be there for it.
TEST_P(CutOffConnection, GivesNoOldAnswerToACancelledTaskEither) {
  asyncio::run([&] {
    const Connection connection = Connection::tcp();
    cut_short(GetParam(), [&] { receive(connection.client()); });
    answer(connection.server(), "the rest");
    cut_short(GetParam(), [&] {
      ::usleep(3'600'000'000u);
      EXPECT_EQ(transmit(connection.client(), "rollback?"), 0);
      EXPECT_EQ(receive(connection.client()), std::string("error: ") + ::strerror(ECONNRESET));
    });
  });
}

// The loop is closed over a task that waits for its answer; the connection lives on.
TEST(CutOff, IsGivenUpWhenTheLoopCloses) {
  const Connection connection = Connection::tcp();
  asyncio::set_log_sink(
      [](asyncio::LogLevel, std::string_view) {});  // "Task was destroyed but it is pending!"
  {
    asyncio::EventLoop loop;
    loop.create_task([&] {
          EXPECT_EQ(transmit(connection.client(), "2?"), 0);
          receive(connection.client());
        })
        .detach();
    loop.call_later(5ms, [&loop] { loop.stop(); });
    loop.run_forever();
    loop.close();
  }
  asyncio::set_log_sink({});
  answer(connection.server(), "2");
  connection.expect_that_the_client_is_given_up();
}

// ---- messages that are out in part

// Sends more than fits, for ever.
void send_without_end(int fd) {
  const std::string piece(1 << 20, 'x');
  while (::send(fd, piece.data(), piece.size(), MSG_NOSIGNAL) > 0) {
  }
}
std::size_t read_to_the_end(int fd) {
  std::size_t length = 0;
  char bytes[65536];
  for (ssize_t n; (n = ::recv(fd, bytes, sizeof bytes, 0)) > 0;) length += static_cast<std::size_t>(n);
  return length;
}

TEST_P(CutOffConnection, IsShutDownInTheMiddleOfAMessage) {
  asyncio::run([&] {
    for (const bool by_server : {false, true}) {
      const Connection connection = Connection::tcp();
      const int sender = by_server ? connection.server() : connection.client();
      const int receiver = by_server ? connection.client() : connection.server();
      cut_short(GetParam(), [&] { send_without_end(sender); });
      EXPECT_EQ(transmit(sender, "the next message"), EPIPE);
      EXPECT_GT(read_to_the_end(receiver), 0u);  // and the end comes
    }
  });
}

TEST_P(CutOffConnection, IsShutDownWhenPollWaitsForRoom) {
  asyncio::run([&] {
    const Connection connection = Connection::pair();
    set_nonblocking(connection.client());
    cut_short(GetParam(), [&] {
      send_without_end(connection.client());
      pollfd entry{connection.client(), POLLIN | POLLOUT, 0};
      EXPECT_EQ(::poll(&entry, 1, -1), -1);
    });
    EXPECT_EQ(transmit(connection.client(), "the next message"), EPIPE);
    EXPECT_GT(read_to_the_end(connection.server()), 0u);
  });
}

// ---- what waits idly

TEST_P(CutOffConnection, AcceptGoesOnListening) {
  asyncio::run([&] {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener, 4), 0);
    socklen_t length = sizeof address;
    EXPECT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
    cut_short(GetParam(), [&] { ::accept(listener, nullptr, nullptr); });
    cut_short(GetParam(), [&] {
      pollfd entry{listener, POLLIN, 0};
      ::poll(&entry, 1, -1);
    });
    const int client = ::socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(::connect(client, reinterpret_cast<sockaddr*>(&address), length), 0);
    const int server = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    EXPECT_GE(server, 0);
    for (const int fd : {client, server, listener}) ::close(fd);
  });
}

TEST_P(CutOffConnection, DatagramsAndPipesAreLeftAsTheyAre) {
  asyncio::run([&] {
    const Connection datagrams = Connection::pair(SOCK_DGRAM);
    cut_short(GetParam(), [&] { ask(datagrams.client()); });
    EXPECT_EQ(receive(datagrams.server()), "2?");
    datagrams.expect_that_it_works();
    int pipe[2];
    EXPECT_EQ(::pipe(pipe), 0);
    char byte = 0;
    cut_short(GetParam(), [&] { EXPECT_EQ(::read(pipe[0], &byte, 1), -1); });
    EXPECT_EQ(::write(pipe[1], "x", 1), 1);
    EXPECT_EQ(::read(pipe[0], &byte, 1), 1);
    for (const int fd : pipe) ::close(fd);
  });
}

// ---- protocols that say which question an answer belongs to

TEST_P(CutOffConnection, GoesOnInACutOffScopeOfTheTaskOrOfItsCreator) {
  asyncio::run([&] {
    const Connection connection = Connection::tcp();
    {
      const hooks::CutOff scope(hooks::AfterCutOff::kGoesOn);
      cut_short(GetParam(), [&] { ask(connection.client()); });
    }
    cut_short(GetParam(), [&] {
      const hooks::CutOff scope(hooks::AfterCutOff::kGoesOn);
      receive(connection.client());
    });
    EXPECT_EQ(receive(connection.server()), "2?");
    answer(connection.server(), "2");
    EXPECT_EQ(receive(connection.client()), "2");
    connection.expect_that_it_works();
    cut_short(GetParam(), [&] { ask(connection.client()); });  // the scope is over
    connection.expect_that_the_client_is_given_up();
  });
}

TEST_P(CutOffConnection, TakesTheInnermostScope) {
  asyncio::run([&] {
    const Connection connection = Connection::tcp();
    const hooks::CutOff outer(hooks::AfterCutOff::kGoesOn);
    cut_short(GetParam(), [&] {
      const hooks::CutOff inner(hooks::AfterCutOff::kByRole);
      ask(connection.client());
    });
    connection.expect_that_the_client_is_given_up();
  });
}

// The side that has accepted the connection is the one that asks.
TEST_P(CutOffConnection, IsShutDownAtTheServerWhereAScopeSaysSo) {
  asyncio::run([&] {
    const Connection connection = Connection::tcp();
    cut_short(GetParam(), [&] {
      const hooks::CutOff scope(hooks::AfterCutOff::kShutDown);
      ask(connection.server());
    });
    EXPECT_EQ(transmit(connection.server(), "3?"), EPIPE);
  });
}

TEST(CutOff, ScopeDoesNothingOutsideATask) { const hooks::CutOff scope(hooks::AfterCutOff::kGoesOn); }

// Run with AIOFIBER_CUT_OFF_GOES_ON naming this path.
TEST_P(CutOffConnection, GoesOnWhereTheEnvironmentNamesThePeer) {
  const char* const listed = std::getenv("AIOFIBER_CUT_OFF_GOES_ON");
  if (listed == nullptr) GTEST_SKIP() << "a run of its own has the variable";
  asyncio::run([&] {
    const Connection connection = Connection::local("cut_off_goes_on.socket");
    cut_short(GetParam(), [&] { ask(connection.client()); });
    EXPECT_EQ(receive(connection.server()), "2?");
    connection.expect_that_it_works();
    cut_short(GetParam(), [&] { send_without_end(connection.client()); });
    EXPECT_EQ(transmit(connection.client(), "the next message"), EPIPE);
    const Connection other = Connection::tcp();
    cut_short(GetParam(), [&] { ask(other.client()); });
    other.expect_that_the_client_is_given_up();
  });
  ::unlink("cut_off_goes_on.socket");
}

// ---- loops that take no notice

// A timer of the kernel, so that every observer sees it.
int timer_in(std::chrono::milliseconds time) {
  const int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  const itimerspec setting{{}, {0, static_cast<long>(time.count()) * 1'000'000}};
  EXPECT_EQ(::timerfd_settime(fd, 0, &setting, nullptr), 0);
  return fd;
}

// 8 calls are refused at once; those after them wait 5 ms, 10 ms, 15 ms ... 4 of these are 50 ms. The
// clock is read only after a call, so a slow machine makes them fewer.
constexpr int kMostCallsIn50Ms = 8 + 4 + 2;

TEST_P(CutOffConnection, AnEventLoopGetsEintrAndItsEventsAtItsPace) {
  asyncio::run([&] {
    int calls = 0;
    bool expired = false;
    cut_short(GetParam(), [&] {
      const int epoll = ::epoll_create1(0);
      epoll_event event{};
      EXPECT_EQ(::epoll_wait(epoll, &event, 1, -1), -1);
      EXPECT_EQ(errno, EINTR);
      const int timer = timer_in(50ms);
      event.events = EPOLLIN;
      EXPECT_EQ(::epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event), 0);
      while (!expired) {
        ++calls;
        const int ready = ::epoll_wait(epoll, &event, 1, -1);
        EXPECT_TRUE(ready == 1 || (ready == -1 && errno == EINTR)) << ready << ' ' << ::strerror(errno);
        expired = ready == 1;
      }
      ::close(timer);
      ::close(epoll);
    });
    EXPECT_TRUE(expired);
    EXPECT_LE(calls, kMostCallsIn50Ms);
  });
}

TEST_P(CutOffConnection, AnEventLoopKeepsItsOwnTimeLimits) {
  asyncio::run([&] {
    cut_short(GetParam(), [&] {
      const int epoll = ::epoll_create1(0);
      epoll_event event{};
      int result = ::epoll_wait(epoll, &event, 1, -1);
      EXPECT_EQ(result, -1);
      // After many refusals a wait of 1 ms is waited for and ends as it should.
      for (int i = 0; i < 30; ++i) result = ::epoll_wait(epoll, &event, 1, 1);
      EXPECT_EQ(result, 0);
      ::close(epoll);
    });
  });
}

// Whatever it repeats, a task that does not listen leaves the processor to others.
TEST_P(CutOffConnection, WhoAsksAgainAndAgainIsSlowedDown) {
  asyncio::run([&] {
    const Connection connection = Connection::pair(SOCK_DGRAM);
    for (const auto& wait : std::vector<std::function<int()>>{
             [&] { return static_cast<int>(::recv(connection.client(), nullptr, 0, 0)); },
             [] { return ::usleep(3'600'000'000u); },
             [&] {
               pollfd entry{connection.client(), POLLIN, 0};
               return ::poll(&entry, 1, -1);
             },
         }) {
      int calls = 0;
      cut_short(GetParam(), [&] {
        wait();
        const auto start = std::chrono::steady_clock::now();
        while (std::chrono::steady_clock::now() - start < 50ms) {
          ++calls;
          EXPECT_EQ(wait(), -1);
          EXPECT_EQ(errno, ECANCELED);
        }
      });
      EXPECT_LE(calls, kMostCallsIn50Ms);
    }
  });
}

// What comes in the meantime is not withheld.
TEST_P(CutOffConnection, WhoIsSlowedDownStillHearsWhatHappens) {
  asyncio::run([&] {
    const Connection connection = Connection::pair(SOCK_DGRAM);
    std::string heard;
    cut_short(GetParam(), [&] {
      for (int i = 0; i < 60; ++i) receive(connection.client());
      asyncio::get_running_loop().call_later(1ms, [&] { answer(connection.server(), "news"); });
      heard = receive(connection.client());
    });
    EXPECT_EQ(heard, "news");
  });
}

// ---- the answer of poll and select depends on the calling library

// Run with AIOFIBER_CUT_OFF_ANSWERS=cut_off_test=EINTR, and with 0 in its place.
TEST_P(CutOffConnection, PollAndSelectAnswerAsTheEnvironmentSays) {
  const char* const listed = std::getenv("AIOFIBER_CUT_OFF_ANSWERS");
  if (listed == nullptr) GTEST_SKIP() << "runs of their own have the variable";
  const bool as_a_signal = std::string(listed).ends_with("EINTR");
  asyncio::run([&] {
    for (const char* const name : {"poll", "ppoll", "select"}) {
      const Connection connection = Connection::tcp();
      int error = -1;
      cut_short(GetParam(), [&] {
        EXPECT_EQ(transmit(connection.client(), "2?"), 0);
        errno = 0;
        waits().at(name)(connection.client());
        error = errno;
      });
      EXPECT_EQ(error, as_a_signal ? EINTR : 0) << name;
      if (as_a_signal) {
        EXPECT_EQ(receive(connection.server()), "2?") << "an event loop that goes on keeps its connections";
        connection.expect_that_it_works();
      } else {
        connection.expect_that_the_client_is_given_up();
      }
    }
  });
}

}  // namespace
}  // namespace aiofiber::hooks_test
