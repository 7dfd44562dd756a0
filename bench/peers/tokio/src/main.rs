// SPDX-License-Identifier: Apache-2.0

//! Tokio in the race, on its current-thread runtime. Also its echo server, on the listening socket that is descriptor 3
//! (`peer_tokio echo`), and one that echoes lines through a reader (`peer_tokio echo_lines`). See README.md for the measures.

use std::future::Future;
use std::os::unix::io::FromRawFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot, Mutex, Semaphore};
use tokio::task::{yield_now, JoinHandle};

const YIELDS: usize = 600_000;
const TASKS: usize = 60_000;
const ROUND_TRIPS: usize = 80_000;
const ITEMS: usize = 200_000;
const TIMED_WAITS: usize = 40_000;
const POSTS: usize = 200_000;
const CALLS_TO_IDLE_LOOP: usize = 300;
const LONG: Duration = Duration::from_secs(1000);

static REPETITIONS: AtomicUsize = AtomicUsize::new(3);

fn repetitions() -> usize {
    REPETITIONS.load(Relaxed)
}

fn share(total: usize, n: usize) -> usize {
    (total / n).max(1)
}

fn nanoseconds(clock: libc::clockid_t) -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(clock, &mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn cpu_time() -> i64 {
    nanoseconds(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn wall_time() -> i64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

fn show(measure: &str, n: usize, value: f64) {
    println!("{}={}\t{:.3}", measure, n, value);
}

/// Prints the time since `start` for each of the operations.
fn show_since(start: i64, measure: &str, n: usize, operations: usize) {
    show(measure, n, (cpu_time() - start) as f64 / operations as f64);
}

async fn await_all<T>(tasks: Vec<JoinHandle<T>>) {
    for task in tasks {
        task.await.unwrap();
    }
}

fn spawn_all<F, T>(n: usize, task: F) -> Vec<JoinHandle<()>>
where
    F: Fn(usize) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    (0..n).map(|i| tokio::spawn(task(i))).collect()
}

async fn yields(n: usize) {
    let times = share(YIELDS, n).max(4);
    for _ in 0..repetitions() {
        let end = Arc::new(AtomicI64::new(0));
        let tasks = spawn_all(n, |_| {
            let end = end.clone();
            async move {
                yield_now().await;
                for _ in 0..times {
                    yield_now().await;
                }
                if end.load(Relaxed) == 0 {
                    end.store(cpu_time(), Relaxed);
                }
            }
        });
        yield_now().await;
        let start = cpu_time();
        await_all(tasks).await;
        show("yield", n, (end.load(Relaxed) - start) as f64 / (n * times) as f64);
    }
}

async fn spawn(n: usize) {
    let batches = share(TASKS, n);
    for _ in 0..repetitions() {
        let start = cpu_time();
        for _ in 0..batches {
            await_all(spawn_all(n, |_| async {})).await;
        }
        show_since(start, "spawn", n, n * batches);
    }
}

async fn gather(n: usize) {
    let batches = share(TASKS, n);
    for _ in 0..repetitions() {
        let start = cpu_time();
        for _ in 0..batches {
            let tasks: Vec<_> = (0..n).map(|i| tokio::spawn(async move { i })).collect();
            let mut results = Vec::with_capacity(n);
            for task in tasks {
                results.push(task.await.unwrap());
            }
            assert!(results[n - 1] == n - 1);
        }
        show_since(start, "gather", n, n * batches);
    }
}

async fn wave(n: usize) {
    for _ in 0..repetitions() {
        let start = cpu_time();
        await_all(spawn_all(n, |_| yield_now())).await;
        show_since(start, "wave", n, n);
    }
}

/// A request carries the sender of its answer, which is how Tokio's users write a call to another task.
async fn future(pairs: usize) {
    let times = share(ROUND_TRIPS, pairs);
    for _ in 0..repetitions() {
        let start = cpu_time();
        let mut tasks = Vec::new();
        for _ in 0..pairs {
            let (requests, mut incoming) = mpsc::channel::<(usize, oneshot::Sender<usize>)>(1);
            tasks.push(tokio::spawn(async move {
                while let Some((value, reply)) = incoming.recv().await {
                    reply.send(value).unwrap();
                }
            }));
            tasks.push(tokio::spawn(async move {
                for i in 0..times {
                    let (reply, answer) = oneshot::channel();
                    requests.send((i, reply)).await.unwrap();
                    assert!(answer.await.unwrap() == i);
                }
            }));
        }
        await_all(tasks).await;
        show_since(start, "future", pairs, pairs * times);
    }
}

async fn hand_over(name: &str, pairs: usize, total: usize, limited: bool) {
    let times = share(total, pairs);
    for _ in 0..repetitions() {
        let start = cpu_time();
        let mut tasks = Vec::new();
        for _ in 0..pairs {
            let (there, back) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
            let (there_too, back_too) = (there.clone(), back.clone());
            tasks.push(tokio::spawn(async move {
                for _ in 0..times {
                    there.add_permits(1);
                    let permit = if limited {
                        tokio::time::timeout(LONG, back.acquire()).await.unwrap()
                    } else {
                        back.acquire().await
                    };
                    permit.unwrap().forget();
                }
            }));
            tasks.push(tokio::spawn(async move {
                for _ in 0..times {
                    there_too.acquire().await.unwrap().forget();
                    back_too.add_permits(1);
                }
            }));
        }
        await_all(tasks).await;
        show_since(start, name, pairs, 2 * pairs * times);
    }
}

async fn lock(n: usize) {
    let times = share(ROUND_TRIPS, n);
    for _ in 0..repetitions() {
        let mutex = Arc::new(Mutex::new(()));
        let start = cpu_time();
        await_all(spawn_all(n, |_| {
            let mutex = mutex.clone();
            async move {
                for _ in 0..times {
                    let _held = mutex.lock().await;
                    yield_now().await;
                }
            }
        }))
        .await;
        show_since(start, "lock", n, n * times);
    }
}

async fn queue(capacity: usize) {
    for _ in 0..repetitions() {
        let (sender, mut receiver) = mpsc::channel::<usize>(capacity);
        let start = cpu_time();
        let producer = tokio::spawn(async move {
            for i in 0..ITEMS {
                sender.send(i).await.unwrap();
            }
        });
        let consumer = tokio::spawn(async move {
            let mut sum = 0;
            while let Some(i) = receiver.recv().await {
                sum += i;
            }
            sum
        });
        producer.await.unwrap();
        assert!(consumer.await.unwrap() == ITEMS * (ITEMS - 1) / 2);
        show_since(start, "queue", capacity, ITEMS);
    }
}

async fn wait_for(n: usize) {
    let times = share(TIMED_WAITS, n);
    for _ in 0..repetitions() {
        let start = cpu_time();
        await_all(spawn_all(n, |_| async move {
            for _ in 0..times {
                tokio::time::timeout(LONG, yield_now()).await.unwrap();
            }
        }))
        .await;
        show_since(start, "wait_for", n, n * times);
    }
}

/// A timer of Tokio starts when it is polled for the first time.
struct StartTimers<'a>(&'a mut Vec<Pin<Box<tokio::time::Sleep>>>);

impl Future for StartTimers<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        for timer in self.0.iter_mut() {
            let _ = timer.as_mut().poll(context);
        }
        Poll::Ready(())
    }
}

async fn timers(n: usize) {
    for _ in 0..repetitions() {
        let start = cpu_time();
        let mut all: Vec<_> = (0..n).map(|_| Box::pin(tokio::time::sleep(LONG))).collect();
        StartTimers(&mut all).await;
        show_since(start, "timer_start", n, n);
        let start = cpu_time();
        drop(all);
        yield_now().await;
        show_since(start, "timer_cancel", n, n);
    }
}

struct Guard(AtomicI64);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(0, Relaxed);
    }
}

/// Futures in futures, each with a value to drop. They are on the heap, because a future cannot contain itself.
fn through_frames(frames: usize) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let _guard = Guard(AtomicI64::new(1));
        if frames <= 1 {
            tokio::time::sleep(LONG).await;
        } else {
            through_frames(frames - 1).await;
        }
    })
}

async fn cancel(name: &str, n: usize, frames: usize) {
    for _ in 0..repetitions() {
        let tasks = spawn_all(n, |_| through_frames(frames));
        yield_now().await;
        yield_now().await;
        let start = cpu_time();
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        show_since(start, name, n, n);
    }
}

fn memory_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = |line: &str| line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap();
    status.lines().filter(|line| line.starts_with("VmRSS:") || line.starts_with("VmPTE:")).map(kib).sum::<f64>() * 1024.0
}

async fn sleepers(n: usize, wake: bool) {
    let (bytes, cpu) = (memory_bytes(), cpu_time());
    let until = if wake { Duration::from_secs(2) + Duration::from_micros(50 * n as u64) } else { LONG };
    let deadline = tokio::time::Instant::now() + until;
    let asleep = Arc::new(AtomicUsize::new(0));
    let tasks = spawn_all(n, |_| {
        let asleep = asleep.clone();
        async move {
            asleep.fetch_add(1, Relaxed);
            tokio::time::sleep_until(deadline).await;
        }
    });
    while asleep.load(Relaxed) < n {
        yield_now().await;
    }
    assert!(tokio::time::Instant::now() < deadline, "not all were asleep before the first woke");
    let asleep_cpu = cpu_time();
    show("sleeper_create", n, (asleep_cpu - cpu) as f64 / n as f64);
    show("sleeper_bytes", n, (memory_bytes() - bytes) / n as f64);
    if !wake {
        std::process::exit(0);
    }
    await_all(tasks).await;
    show_since(asleep_cpu, "sleeper_wake", n, n);
}

async fn post(producers: usize) {
    let handle = tokio::runtime::Handle::current();
    let each = POSTS / producers;
    for _ in 0..repetitions() {
        let seen = Arc::new(AtomicUsize::new(0));
        let done = Arc::new(tokio::sync::Notify::new());
        let start = wall_time();
        let produce = || {
            let (handle, seen, done) = (handle.clone(), seen.clone(), done.clone());
            std::thread::spawn(move || {
                for _ in 0..each {
                    let (seen, done) = (seen.clone(), done.clone());
                    handle.spawn(async move {
                        if seen.fetch_add(1, Relaxed) + 1 == each * producers {
                            done.notify_one();
                        }
                    });
                }
            })
        };
        let threads: Vec<_> = (0..producers).map(|_| produce()).collect();
        done.notified().await;
        show("post", producers, (wall_time() - start) as f64 / (each * producers) as f64);
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

async fn idle_call(n: usize) {
    for _ in 0..repetitions() {
        let handle = tokio::runtime::Handle::current();
        let (done, end) = oneshot::channel::<()>();
        let caller = std::thread::spawn(move || {
            let start = wall_time();
            for i in 0..CALLS_TO_IDLE_LOOP {
                let (sender, receiver) = std::sync::mpsc::channel();
                handle.spawn(async move { sender.send(i).unwrap() });
                assert!(receiver.recv().unwrap() == i);
            }
            show("idle_call", n, (wall_time() - start) as f64 / CALLS_TO_IDLE_LOOP as f64);
            done.send(()).unwrap();
        });
        end.await.unwrap();
        caller.join().unwrap();
    }
}

fn listener() -> tokio::net::TcpListener {
    let listener = unsafe { std::net::TcpListener::from_raw_fd(3) };
    listener.set_nonblocking(true).unwrap();
    tokio::net::TcpListener::from_std(listener).unwrap()
}

async fn serve_echo() {
    let listener = listener();
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut buffer = [0u8; 16 * 1024];
            while let Ok(n) = connection.read(&mut buffer).await {
                if n == 0 || connection.write_all(&buffer[..n]).await.is_err() {
                    break;
                }
            }
        });
    }
}

async fn serve_echo_of_lines() {
    let listener = listener();
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        connection.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut connection = BufReader::new(connection);
            let mut line = String::new();
            while let Ok(n) = connection.read_line(&mut line).await {
                if n == 0 || connection.get_mut().write_all(line.as_bytes()).await.is_err() {
                    break;
                }
                line.clear();
            }
        });
    }
}

async fn run(word: &str) -> bool {
    let (name, value) = word.split_once('=').unwrap_or((word, "0"));
    let n: usize = value.parse().unwrap_or(0);
    match (name, n) {
        ("echo", 0) => serve_echo().await,
        ("echo_lines", 0) => serve_echo_of_lines().await,
        (_, 0) => return false,
        ("repeat", _) => REPETITIONS.store(n, Relaxed),
        ("yield", _) => yields(n).await,
        ("spawn", _) => spawn(n).await,
        ("gather", _) => gather(n).await,
        ("wave", _) => wave(n).await,
        ("future", _) => future(n).await,
        ("semaphore", _) => hand_over("semaphore", n, ROUND_TRIPS, false).await,
        ("timed_semaphore", _) => hand_over("timed_semaphore", n, TIMED_WAITS, true).await,
        ("lock", _) => lock(n).await,
        ("queue", _) => queue(n).await,
        ("wait_for", _) => wait_for(n).await,
        ("timers", _) => timers(n).await,
        ("cancel_1", _) => cancel("cancel_1", n, 1).await,
        ("cancel_10", _) => cancel("cancel_10", n, 10).await,
        ("sleepers", _) => sleepers(n, true).await,
        ("memory", _) => sleepers(n, false).await,
        ("post", _) => post(n).await,
        ("idle_call", _) => idle_call(n).await,
        _ => return false,
    }
    true
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for word in std::env::args().skip(1) {
        if !runtime.block_on(run(&word)) {
            eprintln!("{}: no such measure here", word);
            std::process::exit(2);
        }
    }
}
