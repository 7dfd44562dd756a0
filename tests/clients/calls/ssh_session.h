// SPDX-License-Identifier: Apache-2.0
//
// A session of libssh2 on its own socket, logged in with the server's test key. Blocking, as libssh2 is by
// default.
#pragma once

#include <libssh2.h>
#include <unistd.h>

#include <string>

#include "connected_socket.h"
#include "servers/servers.h"

namespace aiofiber::clients_test {

class SshSession {
 public:
  SshSession(const SshServer& server, int port) : socket_(port), session_(libssh2_session_init()) {
    ready_ =
        socket_.fd() >= 0 && session_ != nullptr && libssh2_session_handshake(session_, socket_.fd()) == 0 &&
        libssh2_userauth_publickey_fromfile(session_, server.user().c_str(), server.public_key_file().c_str(),
                                            server.private_key_file().c_str(), "") == 0;
  }
  ~SshSession() {
    if (session_ == nullptr) return;
    libssh2_session_disconnect(session_, "bye");
    libssh2_session_free(session_);
  }
  SshSession(const SshSession&) = delete;
  SshSession& operator=(const SshSession&) = delete;
  bool ready() const { return ready_; }

  // What the command prints; empty if it could not be run.
  std::string run(const char* command) {
    LIBSSH2_CHANNEL* channel = ready_ ? libssh2_channel_open_session(session_) : nullptr;
    if (channel == nullptr) return {};
    std::string output;
    if (libssh2_channel_exec(channel, command) == 0) {
      char piece[4096];
      for (ssize_t length; (length = libssh2_channel_read(channel, piece, sizeof piece)) > 0;) {
        output.append(piece, static_cast<std::size_t>(length));
      }
    }
    libssh2_channel_free(channel);
    return output;
  }

 private:
  ConnectedSocket socket_;
  LIBSSH2_SESSION* session_;
  bool ready_ = false;
};

}  // namespace aiofiber::clients_test
