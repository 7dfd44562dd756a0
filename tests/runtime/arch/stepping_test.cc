// SPDX-License-Identifier: Apache-2.0
//
// The size and direction of an access, read from the instruction that faulted: each instruction is run on a
// page that may not be accessed.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/mman.h>

#include <cstdint>
#include <functional>
#include <string>

#include "aiofiber/runtime/arch/arch.h"
#include "arch/stepping.h"

#if AIOFIBER_ARCH_X86_64

namespace aiofiber::runtime::arch {
namespace {

constexpr std::size_t kPage = 4096;
char* page = nullptr;
MemoryAccess seen;

void on_fault(int, siginfo_t*, void* context) {
  seen = memory_access(context);
  ::mprotect(page, kPage, PROT_READ | PROT_WRITE);
}

// `4 bytes read`, `8 bytes written`, `1 byte read and written`, `100 bytes written, repeated`.
std::string access_of(const std::function<void(char*)>& code) {
  page =
      static_cast<char*>(::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  struct sigaction action {
  }, before{};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSEGV, &action, &before);
  seen = {};
  ::mprotect(page, kPage, PROT_NONE);
  code(page);
  ::sigaction(SIGSEGV, &before, nullptr);
  ::munmap(page, kPage);
  return std::to_string(seen.bytes) + (seen.bytes == 1 ? " byte" : " bytes") +
         (seen.reads && seen.writes ? " read and written"
          : seen.reads              ? " read"
                                    : " written") +
         (seen.constant ? ", a constant" : "") + (seen.repeated ? ", repeated" : "");
}

#define ACCESS(text) \
  access_of([](char* at) { asm volatile(text : : "r"(at) : "rax", "rcx", "xmm0", "memory", "cc"); })

TEST(MemoryAccess, TellsLoads) {
  EXPECT_EQ(ACCESS("movb (%0), %%al"), "1 byte read");
  EXPECT_EQ(ACCESS("movw (%0), %%ax"), "2 bytes read");
  EXPECT_EQ(ACCESS("movl (%0), %%eax"), "4 bytes read");
  EXPECT_EQ(ACCESS("movq 8(%0), %%rax"), "8 bytes read");
  EXPECT_EQ(ACCESS("movzbl (%0), %%eax"), "1 byte read");
  EXPECT_EQ(ACCESS("movzwl (%0), %%eax"), "2 bytes read");
  EXPECT_EQ(ACCESS("movsbl (%0), %%eax"), "1 byte read");
  EXPECT_EQ(ACCESS("movslq (%0), %%rax"), "4 bytes read");
  EXPECT_EQ(ACCESS("cmpb $3, (%0)"), "1 byte read");
  EXPECT_EQ(ACCESS("cmpl $3, (%0)"), "4 bytes read");
  EXPECT_EQ(ACCESS("testq %%rax, (%0)"), "8 bytes read");
  EXPECT_EQ(ACCESS("addq (%0), %%rax"), "8 bytes read");
  EXPECT_EQ(ACCESS("imull (%0), %%eax"), "4 bytes read");
  EXPECT_EQ(ACCESS("pushq (%0); popq %%rax"), "8 bytes read");
  EXPECT_EQ(ACCESS("movss (%0), %%xmm0"), "4 bytes read");
  EXPECT_EQ(ACCESS("movsd (%0), %%xmm0"), "8 bytes read");
  EXPECT_EQ(ACCESS("movd (%0), %%xmm0"), "4 bytes read");
  EXPECT_EQ(ACCESS("movq (%0), %%xmm0"), "8 bytes read");
  EXPECT_EQ(ACCESS("movups (%0), %%xmm0"), "16 bytes read");
  EXPECT_EQ(ACCESS("movdqu (%0), %%xmm0"), "16 bytes read");
  EXPECT_EQ(ACCESS("cvtsi2sdl (%0), %%xmm0"), "4 bytes read");
  EXPECT_EQ(ACCESS("ucomisd (%0), %%xmm0"), "8 bytes read");
}

TEST(MemoryAccess, TellsStores) {
  EXPECT_EQ(ACCESS("movb %%al, (%0)"), "1 byte written");
  EXPECT_EQ(ACCESS("movw $7, (%0)"), "2 bytes written, a constant");
  EXPECT_EQ(ACCESS("movl %%eax, (%0)"), "4 bytes written");
  EXPECT_EQ(ACCESS("movq $1, (%0)"), "8 bytes written, a constant");
  EXPECT_EQ(ACCESS("sete (%0)"), "1 byte written");
  EXPECT_EQ(ACCESS("movss %%xmm0, (%0)"), "4 bytes written");
  EXPECT_EQ(ACCESS("movsd %%xmm0, (%0)"), "8 bytes written");
  EXPECT_EQ(ACCESS("movd %%xmm0, (%0)"), "4 bytes written");
  EXPECT_EQ(ACCESS("movq %%xmm0, (%0)"), "8 bytes written");
  EXPECT_EQ(ACCESS("movups %%xmm0, (%0)"), "16 bytes written");
  EXPECT_EQ(ACCESS("movdqa %%xmm0, (%0)"), "16 bytes written");
}

TEST(MemoryAccess, TellsUpdates) {
  EXPECT_EQ(ACCESS("incb (%0)"), "1 byte read and written");
  EXPECT_EQ(ACCESS("addl $1, (%0)"), "4 bytes read and written");
  EXPECT_EQ(ACCESS("addq %%rax, (%0)"), "8 bytes read and written");
  EXPECT_EQ(ACCESS("orw $1, (%0)"), "2 bytes read and written");
  EXPECT_EQ(ACCESS("lock xaddl %%eax, (%0)"), "4 bytes read and written");
  EXPECT_EQ(ACCESS("lock cmpxchgq %%rcx, (%0)"), "8 bytes read and written");
  EXPECT_EQ(ACCESS("xchgl %%eax, (%0)"), "4 bytes read and written");
  EXPECT_EQ(ACCESS("negq (%0)"), "8 bytes read and written");
}

TEST(MemoryAccess, TellsStringInstructions) {
  EXPECT_EQ(access_of([](char* at) {
              std::size_t count = 100;
              asm volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(0) : "memory");
            }),
            "100 bytes written, repeated");
  EXPECT_EQ(access_of([](char* at) {
              char from[64] = {};
              const char* source = from;
              std::size_t count = 8;
              asm volatile("rep movsq" : "+D"(at), "+S"(source), "+c"(count) : : "memory");
            }),
            "64 bytes written, repeated");
}

TEST(MemoryAccess, TellsWideVectors) {
  if (!__builtin_cpu_supports("avx")) GTEST_SKIP() << "no AVX";
  EXPECT_EQ(ACCESS("vmovdqu (%0), %%ymm0"), "32 bytes read");
  EXPECT_EQ(ACCESS("vmovdqu %%ymm0, (%0)"), "32 bytes written");
  EXPECT_EQ(ACCESS("vmovdqu (%0), %%xmm0"), "16 bytes read");
  EXPECT_EQ(ACCESS("vmovsd (%0), %%xmm0"), "8 bytes read");
  EXPECT_EQ(ACCESS("vmovd (%0), %%xmm0"), "4 bytes read");
}

}  // namespace
}  // namespace aiofiber::runtime::arch

#endif
