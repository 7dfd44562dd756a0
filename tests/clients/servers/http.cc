// SPDX-License-Identifier: Apache-2.0
//
// nginx in one process, so that there is only the started pid, and without a change of user. Its echo module,
// which is in nginx-light, delays answers. The certificate is made at the start.
#include <signal.h>

#include "servers/servers.h"

namespace aiofiber::clients_test {

HttpServer::HttpServer() : Server("nginx"), https_port_(free_port()) {}

std::string HttpServer::url(const std::string& path, const std::string& host) const {
  return "http://" + host + ":" + std::to_string(port()) + path;
}

std::string HttpServer::https_url(const std::string& path, const std::string& host) const {
  return "https://" + host + ":" + std::to_string(https_port_) + path;
}

void HttpServer::prepare() {
  run_tool({}, {find_program("/usr/bin/openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                "-days", "30", "-subj", "/CN=localhost", "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key(), "-out", certificate()});
  write_file("1k", std::string(1000, 'x'));
  write_file("5m", std::string(5'000'000, 'y'));
  const std::string temp = folder() + "/temp";
  write_file("nginx.conf",
             "load_module " +
                 find_program("/usr/lib/nginx/modules/ngx_http_echo_module.so", "libnginx-mod-http-echo") +
                 ";\ndaemon off;\nmaster_process off;\npid " + folder() +
                 "/pid;\nerror_log stderr warn;\n"
                 "events { worker_connections 2000; }\n"
                 "http {\n  access_log off;\n  keepalive_requests 1000000;\n"
                 "  client_body_temp_path " +
                 temp + "_body;\n  proxy_temp_path " + temp + "_proxy;\n  fastcgi_temp_path " + temp +
                 "_fastcgi;\n  uwsgi_temp_path " + temp + "_uwsgi;\n  scgi_temp_path " + temp +
                 "_scgi;\n  server {\n    listen 127.0.0.1:" + std::to_string(port()) +
                 " backlog=1024;\n    listen 127.0.0.1:" + std::to_string(https_port_) +
                 " ssl backlog=1024;\n    ssl_certificate " + certificate() + ";\n    ssl_certificate_key " +
                 key() + ";\n    root " + folder() +
                 ";\n"
                 "    location /slow { echo_sleep 1; echo slow; }\n"
                 "    location /never { echo_sleep 3600; echo never; }\n"
                 "    location ~ ^/score/(.*)$ { set $whose $1; echo_sleep 0.1; echo \"score of $whose\"; }\n"
                 "  }\n}\n");
}

Program HttpServer::program() const {
  return {{find_program("/usr/sbin/nginx", "nginx-light"), "-e", "stderr", "-p", folder(), "-c",
           folder() + "/nginx.conf"},
          {},
          {},
          SIGTERM};
}

bool HttpServer::answers() const {
  return ask(port(), "GET /1k HTTP/1.0\r\n\r\n", 12).starts_with("HTTP/1.1 200");
}

}  // namespace aiofiber::clients_test
