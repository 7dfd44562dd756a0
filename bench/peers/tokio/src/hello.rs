// SPDX-License-Identifier: Apache-2.0

//! The smallest program of Tokio: a task prints CLOCK_MONOTONIC in ns.

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::spawn(async {
            let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
            println!("{}", now.tv_sec * 1_000_000_000 + now.tv_nsec);
        })
        .await
        .unwrap();
    });
}
