// SPDX-License-Identifier: Apache-2.0

// Go in the race: goroutines on one processor (GOMAXPROCS=1; two for the measures between threads). CPU time is that of the
// process, so the garbage collector counts. Also its echo server, on the listening socket that is descriptor 3
// (`peer_go echo`, `peer_go echo=2` on two processors), and one that echoes lines through a reader (`peer_go echo_lines`).
// See README.md for the measures.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	yields          = 600000
	tasks           = 60000
	roundTrips      = 80000
	items           = 200000
	timedWaits      = 40000
	posts           = 200000
	callsToIdleLoop = 300
	long            = 1000 * time.Second
	monotonicClock  = 1
	processClock    = 2
)

var repetitions = 3

func nanoseconds(clock uintptr) float64 {
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&now)), 0)
	return float64(now.Nano())
}

func cpuTime() float64  { return nanoseconds(processClock) }
func wallTime() float64 { return nanoseconds(monotonicClock) }

func share(total, n int) int {
	if total < n {
		return 1
	}
	return total / n
}

func show(measure string, n int, value float64) { fmt.Printf("%s=%d\t%.3f\n", measure, n, value) }

func require(happened bool, what string) {
	if !happened {
		fmt.Fprintln(os.Stderr, what)
		os.Exit(1)
	}
}

// measure prints the CPU time of each of the operations of body, for each repetition.
func measure(name string, n, operations int, body func()) {
	for r := 0; r < repetitions; r++ {
		start := cpuTime()
		body()
		show(name, n, (cpuTime()-start)/float64(operations))
	}
}

// goAll starts the functions, and returns what waits for their ends.
func goAll(n int, run func(i int)) *sync.WaitGroup {
	var group sync.WaitGroup
	group.Add(n)
	for i := 0; i < n; i++ {
		i := i
		go func() {
			run(i)
			group.Done()
		}()
	}
	return &group
}

func yield(n int) {
	times := share(yields, n)
	if times < 4 {
		times = 4
	}
	for r := 0; r < repetitions; r++ {
		// A gate, because Go may take the processor from main at any time. The first goroutine behind it starts the clock.
		gate, start, end := make(chan struct{}), 0.0, 0.0
		group := goAll(n, func(int) {
			<-gate
			if start == 0 {
				start = cpuTime()
			}
			for i := 0; i < times; i++ {
				runtime.Gosched()
			}
			if end == 0 {
				end = cpuTime()
			}
		})
		runtime.Gosched()
		close(gate)
		group.Wait()
		show("yield", n, (end-start)/float64(n*times))
	}
}

func spawn(n int) {
	batches := share(tasks, n)
	measure("spawn", n, n*batches, func() {
		for b := 0; b < batches; b++ {
			goAll(n, func(int) {}).Wait()
		}
	})
}

func gather(n int) {
	batches := share(tasks, n)
	measure("gather", n, n*batches, func() {
		for b := 0; b < batches; b++ {
			results := make([]int, n)
			goAll(n, func(i int) { results[i] = i }).Wait()
			require(results[n-1] == n-1, "gather")
		}
	})
}

func wave(n int) {
	measure("wave", n, n, func() { goAll(n, func(int) { runtime.Gosched() }).Wait() })
}

func future(pairs int) {
	times := share(roundTrips, pairs)
	type line struct{ request, reply chan int }
	measure("future", pairs, pairs*times, func() {
		lines := make([]line, pairs)
		for i := range lines {
			lines[i] = line{make(chan int, 1), make(chan int, 1)}
		}
		goAll(2*pairs, func(i int) {
			l := &lines[i/2]
			for k := 0; k < times; k++ {
				if i%2 == 0 { // a channel of one is Go's future: a new one for each round
					value := <-l.request
					l.request = make(chan int, 1)
					l.reply <- value
				} else {
					l.request <- k
					require(<-l.reply == k, "future")
					l.reply = make(chan int, 1)
				}
			}
		}).Wait()
	})
}

// handOver is for pairs of goroutines with two channels as semaphores; acquire is how the first one waits.
func handOver(name string, pairs, total int, acquire func(chan struct{})) {
	times := share(total, pairs)
	type gates struct{ there, back chan struct{} }
	measure(name, pairs, 2*pairs*times, func() {
		all := make([]gates, pairs)
		for i := range all {
			all[i] = gates{make(chan struct{}, 1), make(chan struct{}, 1)}
		}
		goAll(2*pairs, func(i int) {
			g := all[i/2]
			for k := 0; k < times; k++ {
				if i%2 == 0 {
					g.there <- struct{}{}
					acquire(g.back)
				} else {
					<-g.there
					g.back <- struct{}{}
				}
			}
		}).Wait()
	})
}

func semaphore(pairs int) {
	handOver("semaphore", pairs, roundTrips, func(gate chan struct{}) { <-gate })
}

func timedSemaphore(pairs int) {
	handOver("timed_semaphore", pairs, timedWaits, func(gate chan struct{}) {
		timer := time.NewTimer(long)
		select {
		case <-gate:
		case <-timer.C:
		}
		timer.Stop()
	})
}

func lock(n int) {
	times := share(roundTrips, n)
	measure("lock", n, n*times, func() {
		var mutex sync.Mutex
		goAll(n, func(int) {
			for k := 0; k < times; k++ {
				mutex.Lock()
				runtime.Gosched()
				mutex.Unlock()
			}
		}).Wait()
	})
}

func queue(capacity int) {
	measure("queue", capacity, items, func() {
		channel, sum := make(chan int, capacity), 0
		goAll(2, func(i int) {
			for k := 0; k < items; k++ {
				if i == 0 {
					channel <- k
				} else {
					sum += <-channel
				}
			}
		}).Wait()
		require(sum == items*(items-1)/2, "queue")
	})
}

func waitFor(n int) {
	times := share(timedWaits, n)
	measure("wait_for", n, n*times, func() {
		goAll(n, func(int) {
			for k := 0; k < times; k++ {
				limited, cancel := context.WithTimeout(context.Background(), long)
				runtime.Gosched()
				require(limited.Err() == nil, "wait_for")
				cancel()
			}
		}).Wait()
	})
}

func timers(n int) {
	for r := 0; r < repetitions; r++ {
		all := make([]*time.Timer, n)
		start := cpuTime()
		for i := range all {
			all[i] = time.AfterFunc(long, func() {})
		}
		show("timer_start", n, (cpuTime()-start)/float64(n))
		start = cpuTime()
		for i := range all {
			all[i].Stop()
		}
		runtime.Gosched()
		show("timer_cancel", n, (cpuTime()-start)/float64(n))
	}
}

//go:noinline
func throughFrames(frames int, leaf func()) {
	defer func() { runtime.KeepAlive(frames) }()
	if frames <= 1 {
		leaf()
	} else {
		throughFrames(frames-1, leaf)
	}
}

func cancel(name string, n, frames int) {
	for r := 0; r < repetitions; r++ {
		cancels := make([]context.CancelFunc, n)
		contexts := make([]context.Context, n)
		for i := range cancels {
			contexts[i], cancels[i] = context.WithCancel(context.Background())
		}
		group := goAll(n, func(i int) {
			throughFrames(frames, func() {
				timer := time.NewTimer(long)
				select {
				case <-timer.C:
				case <-contexts[i].Done():
					timer.Stop()
				}
			})
		})
		runtime.Gosched()
		runtime.Gosched()
		start := cpuTime()
		for _, stop := range cancels {
			stop()
		}
		group.Wait()
		show(name, n, (cpuTime()-start)/float64(n))
	}
}

func memoryBytes() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	kib := 0.0
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmRSS:") || strings.HasPrefix(line, "VmPTE:") {
			value, _ := strconv.ParseFloat(strings.Fields(line)[1], 64)
			kib += value
		}
	}
	return kib * 1024
}

func sleepers(n int, wake bool) {
	bytes, cpu := memoryBytes(), cpuTime()
	deadline := time.Now().Add(long)
	if wake {
		deadline = time.Now().Add(2*time.Second + time.Duration(n)*50*time.Microsecond)
	}
	asleep := 0
	group := goAll(n, func(int) {
		asleep++
		time.Sleep(time.Until(deadline))
	})
	for asleep < n {
		runtime.Gosched()
	}
	require(time.Now().Before(deadline), "not all were asleep before the first woke")
	asleepCPU := cpuTime()
	show("sleeper_create", n, (asleepCPU-cpu)/float64(n))
	show("sleeper_bytes", n, (memoryBytes()-bytes)/float64(n))
	if wake {
		group.Wait()
		show("sleeper_wake", n, (cpuTime()-asleepCPU)/float64(n))
	}
}

// onThread runs a goroutine that keeps a thread of the system for itself.
func onThread(run func()) {
	go func() {
		runtime.LockOSThread()
		run()
	}()
}

// post hands over a number through a channel; the loop of aiofiber is handed a function.
func post(producers int) {
	runtime.GOMAXPROCS(2)
	each := posts / producers
	for r := 0; r < repetitions; r++ {
		channel := make(chan int, 1024)
		start := wallTime()
		for p := 0; p < producers; p++ {
			onThread(func() {
				for k := 0; k < each; k++ {
					channel <- k
				}
			})
		}
		for k := 0; k < each*producers; k++ {
			<-channel
		}
		show("post", producers, (wallTime()-start)/float64(each*producers))
	}
	runtime.GOMAXPROCS(1)
}

func idleCall(n int) {
	runtime.GOMAXPROCS(2)
	for r := 0; r < repetitions; r++ {
		requests := make(chan chan int)
		onThread(func() {
			start := wallTime()
			for k := 0; k < callsToIdleLoop; k++ {
				reply := make(chan int)
				requests <- reply
				<-reply
			}
			show("idle_call", n, (wallTime()-start)/callsToIdleLoop)
			close(requests)
		})
		for reply := range requests {
			reply <- 1
		}
	}
	runtime.GOMAXPROCS(1)
}

func serve(client func(net.Conn)) {
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	require(err == nil, "no listening socket")
	for {
		connection, err := listener.Accept()
		if err == nil {
			go client(connection)
		}
	}
}

func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, 16*1024)
	for {
		n, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func echoLines(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		if _, err := connection.Write(line); err != nil {
			return
		}
	}
}

var measures = map[string]func(n int){
	"yield": yield, "spawn": spawn, "gather": gather, "wave": wave, "future": future, "semaphore": semaphore,
	"timed_semaphore": timedSemaphore, "lock": lock, "queue": queue, "wait_for": waitFor, "timers": timers,
	"cancel_1": func(n int) { cancel("cancel_1", n, 1) }, "cancel_10": func(n int) { cancel("cancel_10", n, 10) },
	"sleepers": func(n int) { sleepers(n, true) }, "memory": func(n int) { sleepers(n, false) },
	"post": post, "idle_call": idleCall,
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}

func main() {
	runtime.GOMAXPROCS(1)
	for _, word := range os.Args[1:] {
		name, value, _ := strings.Cut(word, "=")
		n, _ := strconv.Atoi(value)
		run, known := measures[name]
		switch {
		case name == "echo":
			runtime.GOMAXPROCS(max(n, 1))
			serve(echo)
		case word == "echo_lines":
			serve(echoLines)
		case n > 0 && name == "repeat":
			repetitions = n
		case n > 0 && known:
			run(n)
		default:
			fmt.Fprintf(os.Stderr, "%s: no such measure here\n", word)
			os.Exit(2)
		}
	}
}
