// SPDX-License-Identifier: Apache-2.0
//
// A library for other_compilers_test.cc, compiled by clang++ with several flags: nested calls with marked
// lines.
namespace plugin {

struct Worker {
  [[gnu::noinline]] void work(void (*record)()) {
    const auto outer = [&] {
      const auto inner = [&] {
        record();  // line of the inner lambda
        asm volatile("" ::: "memory");
      };
      inner();  // line of the outer lambda
      asm volatile("" ::: "memory");
    };
    outer();  // line of the method
    asm volatile("" ::: "memory");
  }
};

template <class T>
[[gnu::noinline]] void start(T worker, void (*record)()) {
  worker.work(record);  // line of the template
  asm volatile("" ::: "memory");
}

}  // namespace plugin

extern "C" void run_plugin(void (*record)()) {
  plugin::start(plugin::Worker(), record);  // line of the entry
  asm volatile("" ::: "memory");
}
