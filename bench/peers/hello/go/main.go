// SPDX-License-Identifier: Apache-2.0

// The smallest program of Go: a goroutine prints CLOCK_MONOTONIC in ns.
package main

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

func main() {
	done := make(chan bool)
	go func() {
		var now syscall.Timespec
		syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&now)), 0)
		os.Stdout.WriteString(strconv.FormatInt(now.Nano(), 10) + "\n")
		close(done)
	}()
	<-done
}
