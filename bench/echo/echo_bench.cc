// SPDX-License-Identifier: Apache-2.0
//
// The CPU time of each server for an echo of one message, as a ratio to the first server of its set.
//
// Closed loop: every connection sends a message and waits for its echo; one thread, real sockets on loopback.
// CPU time is what the kernel counts for the server (/proc/PID/task/*/schedstat, ns). It includes system
// calls, and excludes time that other processes take from a core. The servers take turns. Each round starts
// them again, and the output shows medians.
//
// --set=small (the default), large, tls, loops: see kSets. --traced runs the task servers with and without
// AIOFIBER_TRACE and compares them. The timeline goes to /dev/null, so the disk does not count. It also shows
// the time of the writer's thread on another CPU.
//
// --server=COMMAND measures one server once, and prints lines for tools/race: the CPU time of an echo and how
// long the echoes took. The command gets the listening socket as descriptor 3; words are separated by spaces.
// With --idle=N it prints the memory of a connection that has echoed one message and waits for the next.
#include <absl/flags/flag.h>
#include <absl/flags/parse.h>
#include <absl/flags/usage.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "certificate.h"
#include "clients.h"
#include "server_process.h"

ABSL_FLAG(bool, traced, false, "compare the task servers with and without AIOFIBER_TRACE");
ABSL_FLAG(std::string, set, "small", "the servers to compare: small, large, tls or loops");
ABSL_FLAG(std::string, server, "", "measure this command once, for tools/race");
ABSL_FLAG(std::string, peers, "", "loops: the folder of peer_go, as tools/race builds it (build/race)");
ABSL_FLAG(int, connections, 0, "how many connections send messages; 0: as many as the set says");
ABSL_FLAG(int, idle, 0, "with --server: the memory of a connection, from N connections to 2 N");

namespace {

using echo::Clients;
using echo::Clock;
using echo::Load;
using namespace std::chrono_literals;

struct Contender {
  const char* name;
  const char* command;  // {bench}: the folder of this program; {peers}: --peers
};
struct Set {
  const char* name;
  Load load;
  std::vector<Contender> servers;
};

const std::vector<Set>& sets() {
  static const std::vector<Set> all{
      {"small",
       {},
       {{"libev", "{bench}echo_libev_server"},
        {"wait", "{bench}echo_wait_server"},
        {"task", "{bench}echo_task_server"},
        {"stream", "{bench}echo_stream_server"}}},
      {"large",
       {.connections = 8, .message_bytes = 1024 * 1024},
       {{"libev", "{bench}echo_libev_chunks_server"}, {"stream", "{bench}echo_stream_server chunks"}}},
      {"tls",
       {.tls = true},
       {{"openssl", "{bench}echo_openssl_server {certificate} {key}"},
        {"stream", "{bench}echo_stream_server tls {certificate} {key}"}}},
      {"loops",
       {},
       {{"1 loop", "{bench}echo_stream_server"},
        {"2 loops", "{bench}echo_stream_server loops 2"},
        {"Go, 1", "{peers}/peer_go echo"},
        {"Go, 2", "{peers}/peer_go echo=2"}}},
  };
  return all;
}

struct Cost {
  double serving = 0, others = 0;  // CPU of an echo in ns: of the main thread, of the other threads
  double all() const { return serving + others; }
};

Cost cost_of_echo(const std::vector<std::string>& command, bool traced, const Load& load,
                  echo::Latencies* latencies = nullptr) {
  const echo::Server server(command, traced);
  Clients clients(server.address(), load);
  clients.run_until(Clock::now() + load.warm_up);
  const std::uint64_t before = server.cpu_ns(), others_before = server.other_cpu_ns();
  const auto echoes = static_cast<double>(clients.run_until(Clock::now() + load.measured, latencies));
  return {static_cast<double>(server.cpu_ns() - before) / echoes,
          static_cast<double>(server.other_cpu_ns() - others_before) / echoes};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void compare_servers(const Set& set, const Load& load, const std::string& folder) {
  const echo::CertificateFiles files;
  std::vector<std::vector<std::string>> commands;
  for (const Contender& server : set.servers) {
    commands.push_back(
        absl::StrSplit(absl::StrReplaceAll(server.command, {{"{bench}", folder},
                                                            {"{peers}", absl::GetFlag(FLAGS_peers)},
                                                            {"{certificate}", files.certificate()},
                                                            {"{key}", files.key()}}),
                       ' '));
  }
  if (absl::GetFlag(FLAGS_peers).empty()) {
    for (std::size_t i = commands.size(); i-- > 0;) {
      if (absl::StrContains(set.servers[i].command, "{peers}")) commands.pop_back();
    }
  }
  std::vector<std::vector<double>> costs(commands.size()), ratios(commands.size());
  for (int round = 0; round < load.rounds; ++round) {
    std::printf("round %d of %d:", round + 1, load.rounds);
    for (std::size_t i = 0; i < commands.size(); ++i) {
      costs[i].push_back(cost_of_echo(commands[i], false, load).all());
      ratios[i].push_back(costs[i].back() / costs[0].back());
      i == 0 ? std::printf(" %s %.0f ns, ratios", set.servers[i].name, costs[i].back())
             : std::printf(" %s %.3f", set.servers[i].name, ratios[i].back());
    }
    std::printf("\n");
    std::fflush(stdout);
  }
  std::printf("\n%d connections, messages of %zu bytes, medians of %d rounds\n%-8s %12s %8s\n",
              load.connections, load.message_bytes, load.rounds, "server", "CPU an echo", "ratio");
  for (std::size_t i = 0; i < commands.size(); ++i) {
    std::printf("%-8s %9.0f ns %8.3f\n", set.servers[i].name, median(costs[i]), median(ratios[i]));
  }
}

void compare_traced(const std::string& folder, const Load& load) {
  const std::array<const char*, 2> servers{"wait", "task"};
  std::array<std::vector<double>, 2> plain, traced, ratios, writing;
  for (int round = 0; round < load.rounds; ++round) {
    for (std::size_t i = 0; i < servers.size(); ++i) {
      const std::string program = folder + "echo_" + servers[i] + "_server";
      plain[i].push_back(cost_of_echo({program}, false, load).serving);
      const Cost cost = cost_of_echo({program}, true, load);
      traced[i].push_back(cost.serving);
      writing[i].push_back(cost.others);
      ratios[i].push_back(traced[i].back() / plain[i].back());
    }
    std::printf("round %d of %d: traced / not: wait %.3f, task %.3f\n", round + 1, load.rounds,
                ratios[0].back(), ratios[1].back());
    std::fflush(stdout);
  }
  std::printf(
      "\n%d connections, messages of %zu bytes, medians of %d rounds, CPU an echo\n%-8s %10s %10s %8s %14s\n",
      load.connections, load.message_bytes, load.rounds, "server", "not traced", "traced", "ratio",
      "writer's thread");
  for (std::size_t i = 0; i < servers.size(); ++i) {
    std::printf("%-8s %7.0f ns %7.0f ns %8.3f %11.0f ns\n", servers[i], median(plain[i]), median(traced[i]),
                median(ratios[i]), median(writing[i]));
  }
}

void measure_server(const std::vector<std::string>& command, const Load& load) {
  echo::Latencies latencies;
  const Cost cost = cost_of_echo(command, false, load, &latencies);
  std::printf("echo=%d\t%.3f\n", load.connections, cost.all());
  latencies.print();
}

// Between N and 2 N connections, so that what the program itself takes does not count.
void measure_idle(const std::vector<std::string>& command, Load load, int count) {
  load.connections = count;
  const echo::Server server(command);
  Clients clients(server.address(), load);
  const auto memory_now = [&] {
    clients.settle();
    std::this_thread::sleep_for(300ms);  // what the server does behind its last echo
    return server.memory_bytes();
  };
  const std::uint64_t first = memory_now();
  clients.add(server.address(), count);
  const auto bytes = static_cast<double>(memory_now()) - static_cast<double>(first);
  std::printf("idle=%d\t%.0f\n", count, bytes / count);
}

// As many descriptors as the system allows, here and in the servers.
void allow_descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) try {
  absl::SetProgramUsageMessage(
      "the CPU time of servers for an echo: echo_bench [ROUNDS] [--set=SET [--peers=FOLDER] | --traced | "
      "--server=COMMAND [--idle=N]]");
  const std::vector<char*> words = absl::ParseCommandLine(argc, argv);
  int rounds = Load().rounds;
  const auto set = std::find_if(sets().begin(), sets().end(),
                                [](const Set& each) { return each.name == absl::GetFlag(FLAGS_set); });
  if (words.size() > 2 || (words.size() == 2 && !absl::SimpleAtoi(words[1], &rounds)) || rounds < 1 ||
      set == sets().end()) {
    std::fprintf(stderr,
                 "usage: echo_bench [ROUNDS] [--set=small|large|tls|loops] [--traced]   (default 7)\n");
    return 2;
  }
  Load load = set->load;
  load.rounds = rounds;
  if (const int connections = absl::GetFlag(FLAGS_connections); connections > 0)
    load.connections = connections;
  allow_descriptors();
  if (const std::string command = absl::GetFlag(FLAGS_server); !command.empty()) {
    const std::vector<std::string> program = absl::StrSplit(command, ' ');
    const int idle = absl::GetFlag(FLAGS_idle);
    idle > 0 ? measure_idle(program, load, idle) : measure_server(program, load);
    return 0;
  }
  std::string folder = argv[0];
  folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/') + 1);
  if (folder.empty()) folder = "./";
  absl::GetFlag(FLAGS_traced) ? compare_traced(folder, load) : compare_servers(*set, load, folder);
} catch (const std::exception& error) {
  std::fprintf(stderr, "echo_bench: %s\n", error.what());
  return 1;
}
