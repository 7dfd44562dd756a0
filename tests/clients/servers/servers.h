// SPDX-License-Identifier: Apache-2.0
//
// The servers, as in Debian's packages. The source file with a server's name has its special rules: which
// user may run it, which files it needs, how it shows that it is ready.
//
// The destructors of these classes stop the server before its folder is removed.
#pragma once

#include "servers/server.h"

namespace aiofiber::clients_test {

// User "postgres", database "postgres", no password; up to 400 connections; a unix socket in folder().
class PostgresServer : public Server {
 public:
  PostgresServer();
  ~PostgresServer() override { stop(); }
  std::string conninfo(const std::string& host = "127.0.0.1") const;  // without connection encryption
  std::string unix_conninfo() const { return conninfo(folder()); }

 protected:
  void prepare() override;
  Program program() const override;
  bool answers() const override;
  int kill_signal() const override;
};

class RedisServer : public Server {
 public:
  RedisServer();
  ~RedisServer() override { stop(); }
  std::string unix_socket() const { return folder() + "/socket"; }

 protected:
  Program program() const override;
  bool answers() const override;
};

// nginx. /1k and /5m are files of 1000 and 5,000,000 bytes; /slow answers "slow\n" after a second, /never
// after an hour; /score/NAME answers "score of NAME\n" after 0.1 s. https_port() serves the same with
// certificate().
class HttpServer : public Server {
 public:
  HttpServer();
  ~HttpServer() override { stop(); }
  std::string url(const std::string& path, const std::string& host = "127.0.0.1") const;
  std::string https_url(const std::string& path, const std::string& host = "127.0.0.1") const;
  int https_port() const { return https_port_; }
  std::string certificate() const { return folder() + "/certificate.pem"; }
  std::string key() const { return folder() + "/key.pem"; }

 protected:
  void prepare() override;
  Program program() const override;
  bool answers() const override;

 private:
  int https_port_;
};

// MariaDB: user "root" without a password, database "mysql"; a unix socket.
class MariaServer : public Server {
 public:
  MariaServer();
  ~MariaServer() override { stop(); }
  std::string unix_socket() const { return folder() + "/socket"; }

 protected:
  void prepare() override;
  Program program() const override;
  bool answers() const override;
};

class MemcachedServer : public Server {
 public:
  MemcachedServer();
  ~MemcachedServer() override { stop(); }

 protected:
  Program program() const override;
  bool answers() const override;
};

// OpenSSH: lets user() in with the key in private_key_file().
class SshServer : public Server {
 public:
  SshServer();
  ~SshServer() override { stop(); }
  std::string user() const;
  std::string private_key_file() const { return folder() + "/user_key"; }
  std::string public_key_file() const { return folder() + "/user_key.pub"; }

 protected:
  void prepare() override;
  Program program() const override;
  bool answers() const override;
};

}  // namespace aiofiber::clients_test
