// SPDX-License-Identifier: Apache-2.0
//
// A call of Thrift's binary protocol, as in the code of its compiler: the answer's number is read and not
// compared. The server is a program of these tests (thrift_server.cc).
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TSocket.h>

#include <exception>
#include <memory>
#include <string>

#include "calls/client_calls.h"
#include "client_test.h"
#include "thrift_server_process.h"

namespace aiofiber::clients_test {
namespace {

namespace protocol = apache::thrift::protocol;
namespace transport = apache::thrift::transport;

class ThriftConnection : public KeptConnection {
 public:
  explicit ThriftConnection(int port)
      : transport_(std::make_shared<transport::TBufferedTransport>(
            std::make_shared<transport::TSocket>("127.0.0.1", port))),
        protocol_(transport_) {
    transport_->open();
  }
  std::string ask(int number, int seconds) override {
    try {
      protocol_.writeMessageBegin("ask", protocol::T_CALL, number);
      protocol_.writeI32(number);
      protocol_.writeI32(seconds);
      protocol_.writeMessageEnd();
      transport_->writeEnd();
      transport_->flush();
      std::string name;
      protocol::TMessageType type;
      std::int32_t id = 0, answer = 0;
      protocol_.readMessageBegin(name, type, id);
      protocol_.readI32(answer);
      protocol_.readMessageEnd();
      transport_->readEnd();
      return std::to_string(answer);
    } catch (const std::exception&) {
      return {};
    }
  }

 private:
  std::shared_ptr<transport::TBufferedTransport> transport_;
  protocol::TBinaryProtocol protocol_;
};

class ThriftCalls : public ClientCalls {
 public:
  const char* name() const override { return "Thrift"; }
  const char* functions() const override { return "`TSocket`, `TBinaryProtocol`"; }
  Server& server() override { return clients_test::server<ThriftServer>(); }
  std::unique_ptr<KeptConnection> connect(int port) override {
    try {
      return std::make_unique<ThriftConnection>(port);
    } catch (const std::exception&) {
      return nullptr;
    }
  }
};

}  // namespace

std::unique_ptr<ClientCalls> thrift_calls() { return std::make_unique<ThriftCalls>(); }

}  // namespace aiofiber::clients_test
