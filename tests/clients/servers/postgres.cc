// SPDX-License-Identifier: Apache-2.0
//
// PostgreSQL and initdb refuse to run as root. The server is killed with SIGQUIT, its immediate shutdown.
// After a SIGKILL its children and its shared memory would block the next start.
#include <signal.h>

#include "servers/servers.h"

namespace aiofiber::clients_test {

namespace {
std::string tool(const std::string& name) {
  return find_program("/usr/lib/postgresql/*/bin/" + name, "postgresql");
}
}  // namespace

PostgresServer::PostgresServer() : Server("postgres") {}

std::string PostgresServer::conninfo(const std::string& host) const {
  return "host=" + host + " port=" + std::to_string(port()) +
         " user=postgres dbname=postgres sslmode=disable gssencmode=disable";
}

void PostgresServer::prepare() {
  give_folder_to("postgres");
  run_tool("postgres", {tool("initdb"), "-D", folder() + "/data", "-A", "trust", "-U", "postgres",
                        "--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C"});
}

Program PostgresServer::program() const {
  return {{tool("postgres"), "-D", folder() + "/data", "-p", std::to_string(port()), "-k", folder(), "-c",
           "listen_addresses=127.0.0.1", "-c", "max_connections=400", "-c", "fsync=off", "-c",
           "shared_buffers=64MB"},
          "postgres",
          {},
          SIGINT};
}

bool PostgresServer::answers() const {
  const Program ready{
      {tool("pg_isready"), "-q", "-h", folder(), "-p", std::to_string(port())}, {}, log_file(), SIGTERM};
  return run_to_end(ready);
}

int PostgresServer::kill_signal() const { return SIGQUIT; }

}  // namespace aiofiber::clients_test
