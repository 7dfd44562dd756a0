// SPDX-License-Identifier: Apache-2.0
//
// thrift_server PORT: a Thrift server on 127.0.0.1 with one procedure, ask(number, seconds), which returns
// the number after that many seconds. It does not need Thrift's compiler: the arguments follow the message's
// head one by one. One thread for each connection.
#include <thrift/TProcessor.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TServerSocket.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

namespace {

using namespace apache::thrift;

class Asked : public TProcessor {
 public:
  bool process(std::shared_ptr<protocol::TProtocol> in, std::shared_ptr<protocol::TProtocol> out,
               void*) override {
    std::string name;
    protocol::TMessageType type;
    std::int32_t id = 0, number = 0, seconds = 0;
    in->readMessageBegin(name, type, id);
    in->readI32(number);
    in->readI32(seconds);
    in->readMessageEnd();
    in->getTransport()->readEnd();
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    out->writeMessageBegin(name, protocol::T_REPLY, id);
    out->writeI32(number);
    out->writeMessageEnd();
    out->getTransport()->writeEnd();
    out->getTransport()->flush();
    return true;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  server::TThreadedServer server(std::make_shared<Asked>(),
                                 std::make_shared<transport::TServerSocket>("127.0.0.1", std::atoi(argv[1])),
                                 std::make_shared<transport::TBufferedTransportFactory>(),
                                 std::make_shared<protocol::TBinaryProtocolFactory>());
  server.serve();
}
