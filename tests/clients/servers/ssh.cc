// SPDX-License-Identifier: Apache-2.0
//
// sshd needs absolute paths and, as root, the folder /run/sshd for its chroot. Its keys are made at the
// start. The user's key is RSA in PEM, which every libssh2 reads. StrictModes is off because the folder is in
// /tmp. HOME is that folder too: otherwise bash would read the .bashrc of the current user at each command,
// which can be slow.
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "servers/servers.h"

namespace aiofiber::clients_test {

SshServer::SshServer() : Server("sshd") {}

std::string SshServer::user() const { return ::getpwuid(::geteuid())->pw_name; }

void SshServer::prepare() {
  if (::geteuid() == 0) ::mkdir("/run/sshd", 0755);
  const std::string keygen = find_program("/usr/bin/ssh-keygen", "openssh-client");
  run_tool({}, {keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder() + "/host_key"});
  run_tool({}, {keygen, "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", private_key_file()});
  std::filesystem::copy_file(public_key_file(), folder() + "/authorized_keys");
}

Program SshServer::program() const {
  return {{find_program("/usr/sbin/sshd", "openssh-server"),
           "-D",
           "-e",
           "-f",
           "/dev/null",
           "-h",
           folder() + "/host_key",
           "-p",
           std::to_string(port()),
           "-o",
           "ListenAddress=127.0.0.1",
           "-o",
           "AuthorizedKeysFile=" + folder() + "/authorized_keys",
           "-o",
           "StrictModes=no",
           "-o",
           "PermitRootLogin=yes",
           "-o",
           "PidFile=" + folder() + "/pid",
           "-o",
           "MaxStartups=300",
           "-o",
           "UsePAM=no",
           "-o",
           "LogLevel=ERROR",
           "-o",
           "PubkeyAcceptedAlgorithms=+ssh-rsa",
           "-o",
           "SetEnv=HOME=" + folder()},
          {},
          {},
          SIGTERM};
}

bool SshServer::answers() const { return ask(port(), "", 7).starts_with("SSH-2.0"); }

}  // namespace aiofiber::clients_test
