// SPDX-License-Identifier: Apache-2.0
//
// mariadbd refuses to run as root, and its user must own its data. It sends a greeting before any request:
// protocol 10, at offset 4.
#include <signal.h>

#include "servers/servers.h"

namespace aiofiber::clients_test {

MariaServer::MariaServer() : Server("mariadb") {}

void MariaServer::prepare() {
  give_folder_to("mysql");
  run_tool("mysql", {find_program("/usr/bin/mariadb-install-db", "mariadb-server"), "--no-defaults",
                     "--datadir=" + folder() + "/data", "--auth-root-authentication-method=normal",
                     "--skip-test-db", "--skip-name-resolve"});
}

Program MariaServer::program() const {
  return {{find_program("/usr/sbin/mariadbd", "mariadb-server"), "--no-defaults",
           "--datadir=" + folder() + "/data", "--port=" + std::to_string(port()), "--bind-address=127.0.0.1",
           "--socket=" + unix_socket(), "--pid-file=" + folder() + "/pid", "--max-connections=400",
           "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", "--skip-name-resolve",
           "--max-allowed-packet=64M"},
          "mysql",
          {},
          SIGTERM};
}

bool MariaServer::answers() const {
  const std::string greeting = ask(port(), "", 5);
  return greeting.size() >= 5 && greeting[4] == 10;
}

}  // namespace aiofiber::clients_test
