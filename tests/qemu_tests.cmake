# SPDX-License-Identifier: Apache-2.0
# What a cross build runs under qemu's user mode, which shows what the processor does and not what the kernel does: see README.md.
# `ninja tests-qemu` builds it; `ctest -L qemu` runs it.
set(AIOFIBER_QEMU_TESTS
  # fibers, stacks, frames, exceptions
  scheduler_test fiber_exceptions_test fiber_stacks_test stack_test overflow_test parker_test fd_wait_test timer_heap_test offload_test
  unwind_test unwind_unoptimized_test unwind_table_test unloaded_code_test throw_trace_test registry_test
  signed_frames_test aarch64_instruction_test aarch64_call_code_test
  # tasks
  gather_test closing_test cancel_without_unwinding_test debug_traceback_test
  # hooks
  sockets_test jumps_test)

# Cases that qemu cannot show, for each test.
# Guards by MADV_GUARD_INSTALL: qemu says that it made them. Deaths in silence: qemu adds a line of its own.
set(AIOFIBER_NOT_UNDER_QEMU_stack_test StackGuard.IsByMprotectForTheFirstStacksAndByTheKernelsGuardsForTheOthers
  StackGuard.IsByTheKernelsGuardsWhenMappingsAreShort IdleStacks.GiveNeighboursBackByOneCall
  IdleStacks.GiveTheirMemoryBackAfterTheIdleTimeAndStayGoodStacks)
set(AIOFIBER_NOT_UNDER_QEMU_overflow_test StackOverflowDeathTest.NamesTheTaskItsStackAndTheRemedy
  StackOverflowDeathTest.IsNotAFaultOnAStackOfTheProgramsOwn StackOverflowDeathTest.IsNotAFaultInAHandlerOnTheAlternateStack
  StackOverflowDeathTest.AnotherFaultIsNotCalledAnOverflow)
