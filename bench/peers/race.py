#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the race: builds the peers, runs them in turn, and writes the table into bench/README.md, the raw data to
bench/race/race.json and the plots beside it. tools/race calls this after it has installed the peers.

Each round runs all peers for one measure, one directly after another, then the next measure. A ratio is of one round, so what
slows down the machine for a minute slows down both. A peer that fails is reported in one line, and left out of that measure."""
import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time

import build
import figures
import rows

sys.path.insert(0, str(build.TREE / "bench"))
import machine  # noqa: E402  in the folder above

RESULTS = build.TREE / "bench/race"
README = build.TREE / "bench/README.md"
BEGIN, END = "<!-- race:begin -->", "<!-- race:end -->"
LIMIT_SECONDS = 120  # of one process
CHEAP_SECONDS = 1    # a peer that took longer for n tasks is not asked for 10 n


class Race:
    def __init__(self, quick, rounds):
        self.quick, self.rounds = quick, rounds
        self.values = {}        # {key: {peer: [a round's value, or None]}}
        self.histograms = {}    # {echo=64: {server: [(us, count)]}} of all rounds
        self.scale = {}         # {key: [values]} of aiofiber
        self.by_tasks = {}      # {yield: {peer: [(n, value)]}}
        self.yardstick = {}
        self.left_out = {}      # {peer: why}, or {peer, measure: why}
        self.peers = []
        self.started = time.monotonic()
        self.others = None      # machine.Others() since the build

    # ---- running

    def say(self, text):
        print(f"{time.monotonic() - self.started:5.0f} s  {text}", flush=True)

    def leave_out(self, peer, what, why):
        why = why.replace(f"{build.TREE}/", "")
        self.left_out[f"{peer}, {what}" if what else peer] = why
        self.say(f"left out: {peer}{', ' + what if what else ''}: {why}")

    def output_of(self, peer, what, command):
        """What the command printed, or None if it failed. A peer that failed is not asked for the same again."""
        if f"{peer}, {what}" in self.left_out:
            return None
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
                                 env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        except subprocess.TimeoutExpired:
            self.leave_out(peer, what, f"not done after {LIMIT_SECONDS} s")
            return None
        except OSError as error:
            self.leave_out(peer, what, str(error))
            return None
        if ran.returncode == 0:
            return ran.stdout
        last = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
        if "no such measure here" in last:
            self.left_out[f"{peer}, {what}"] = ""  # it has no such thing; nothing to report
        else:
            self.leave_out(peer, what, last[:160])
        return None

    def run_peer(self, peer, run):
        """{key: value} of one process."""
        output = self.output_of(peer.name, " ".join(run.words),
                                build.fill(peer.command).split() + [f"repeat={run.repeat}"] + run.words)
        return {key: figures.median(values) for key, values in figures.parse(output or "").items()}

    def keep(self, key, peer, value, round_number):
        of_round = self.values.setdefault(key, {}).setdefault(peer, [])
        of_round += [None] * (round_number - len(of_round)) + [value]

    # ---- the parts of the race

    def build_all(self):
        build.BUILD.mkdir(parents=True, exist_ok=True)
        log = build.BUILD / "race.log"
        log.write_text("", encoding="utf-8")
        self.say("building aiofiber and the peers")
        build.configure(log)
        build.cmake_targets(["peer_yardstick", "hello_cxx", "echo_bench"], log)
        for peer in rows.PEERS:
            try:
                build.build(peer)
                self.peers.append(peer)
            except build.Failure as failure:
                if peer.name == rows.OURS:
                    raise
                self.leave_out(peer.name, "", str(failure))
        self.others = machine.Others()
        self.say("built: " + ", ".join(peer.name for peer in self.peers))

    def measure_round(self, number):
        where = f"round {number + 1} of {self.rounds}"
        for run in rows.RUNS:
            found = {}
            for peer in self.peers:
                for key, value in self.run_peer(peer, run).items():
                    self.keep(key, peer.name, value, number)
                    found.setdefault(key, []).append(f"{peer.name} {figures.digits(value)}")
            for key, texts in found.items():
                self.say(f"{where}  {key}: {', '.join(texts)}")
        self.measure_hello(number)
        self.measure_echo(number, where)

    def measure_hello(self, number):
        """The start of each smallest program, the programs in turn; and their sizes."""
        programs = [(peer.name, build.fill(peer.hello).split()) for peer in self.peers if peer.hello]
        programs.append(("C++", [str(build.BUILD / "bench/peers/hello_cxx")]))
        took = {}
        for _ in range(10):
            for name, command in programs:
                before = time.monotonic_ns()
                output = self.output_of(name, "hello", command)
                if output and output.strip().isdigit():
                    took.setdefault(name, []).append(int(output) - before)
        for name, values in took.items():
            self.keep("hello_start=1", name, figures.median(values), number)
        if number == 0:
            for name, command in programs:
                if len(command) == 1 and os.path.exists(command[0]):
                    stripped = build.BUILD / "stripped"
                    subprocess.run(["strip", "-o", stripped, command[0]], check=True)
                    self.keep("hello_bytes=1", name, stripped.stat().st_size, 0)
        self.say("start to the first task: " + ", ".join(f"{name} {figures.median(v) / 1e6:.1f} ms" for name, v in took.items()))

    def servers(self):
        yield rows.ECHO_BASE, rows.ECHO_BASE_COMMAND
        for peer in self.peers:
            yield from peer.echo.items()

    def measure_echo(self, number, where):
        for connections in rows.ECHO_CONNECTIONS:
            key, texts = f"echo={connections}", []
            for server, command in self.servers():
                output = self.output_of(server, key, [build.BUILD / "bench/echo_bench", f"--connections={connections}",
                                                      f"--server={build.fill(command)}"])
                cost = figures.parse(output or "").get(key)
                if not cost:
                    continue
                self.keep(key, server, cost[0], number)
                texts.append(f"{server} {figures.digits(cost[0] / 1000)} us")
                counts = self.histograms.setdefault(key, {}).setdefault(server, {})
                for end, count in figures.latencies(output):
                    counts[end] = counts.get(end, 0) + count
            self.say(f"{where}  {key}: {', '.join(texts)}")

    def measure_scale(self):
        """aiofiber at n and 10 n."""
        ours = self.peers[0]
        for _ in range(1 if self.quick else 3):
            for run in rows.SCALE_RUNS[:rows.QUICK_SCALE_RUNS if self.quick else None]:
                for key, value in self.run_peer(ours, run).items():
                    self.scale.setdefault(key, []).append(value)
        for row in rows.ROWS:
            grown = figures.growth(self.scale, row.scale)
            if grown is not None:
                self.say(f"{' -> '.join(row.scale)}: {figures.digits(grown)} times the cost of an operation")

    def measure_by_tasks(self):
        """Cost and memory against the number of tasks, as far as it is cheap."""
        parts = [("yield", "yield", rows.TASK_COUNTS), ("spawn", "spawn", rows.TASK_COUNTS),
                 ("memory", "sleeper_bytes", rows.MEMORY_COUNTS)]
        for word, measure, counts in parts:
            for peer in self.peers:
                points = []
                for n in counts[:-2] if self.quick else counts:
                    before = time.monotonic()
                    value = self.run_peer(peer, rows.Run([f"{word}={n}"], 1 if word == "memory" else 2)).get(f"{measure}={n}")
                    took = time.monotonic() - before
                    if value is not None:
                        points.append((n, value))
                    if value is None or took > CHEAP_SECONDS or not self.fits(10 * n):
                        break
                if points:
                    self.by_tasks.setdefault(measure, {})[peer.name] = points
                    self.say(f"{measure}: {peer.name} " + ", ".join(f"{n:,}: {figures.digits(v)}" for n, v in points))

    @staticmethod
    def fits(tasks):
        """Whether so many tasks of 8 KiB take less than half of the free memory."""
        with open("/proc/meminfo", encoding="ascii") as info:
            free_kib = int(re.search(r"MemAvailable:\s*(\d+)", info.read()).group(1))
        return tasks * 8 < free_kib / 2

    def measure_yardstick(self):
        output = self.output_of("yardstick", "all", [build.BUILD / "bench/peers/peer_yardstick",
                                                     f"repeat={rows.YARDSTICK.repeat}"] + rows.YARDSTICK.words)
        self.yardstick = {key: figures.median(v) for key, v in figures.parse(output or "").items()}

    # ---- results

    def data_left_out(self):
        return {what: why for what, why in self.left_out.items() if why}

    def data(self):
        cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo", encoding="utf-8").read())
        compiler = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
        return {"machine": {"processor": cpu.group(1) if cpu else platform.machine(), "cores": os.cpu_count(),
                            "kernel": platform.release(), "compiler": compiler,
                            "cores_used_by_others": round(self.others.cores(), 1)},
                "quick": self.quick, "rounds": self.rounds, "versions": {peer.name: build.version(peer) for peer in self.peers},
                "yardstick": self.yardstick, "values": self.values, "scale": self.scale, "by_tasks": self.by_tasks,
                "latencies": {key: {server: sorted(counts.items()) for server, counts in of_key.items()}
                              for key, of_key in self.histograms.items()},
                "left_out": self.data_left_out()}


def report(data):
    """The text between the markers of bench/README.md."""
    of_machine, yardstick = data["machine"], data["yardstick"]
    peers = [name for name in data["versions"] if name != rows.OURS]
    kind = f"`tools/race{' --quick' if data['quick'] else ''}`, {data['rounds']} round{'s' if data['rounds'] > 1 else ''}"
    lines = [
        f"{kind}: {of_machine['processor']}, {of_machine['cores']} cores, Linux {of_machine['kernel']}, {of_machine['compiler']}. Other "
        f"processes used {of_machine['cores_used_by_others']} cores meanwhile.",
        f"A switch of Boost.Context took {figures.digits(yardstick.get('resume=1000000'))} ns there, an empty poll "
        f"{figures.digits(yardstick.get('poll=50000'))} ns, the first touch of a page {figures.digits(yardstick.get('page=1024'))} ns, "
        f"a look at the clock {figures.digits(yardstick.get('clock=1000000'))} ns, and the way to an idle thread in epoll_wait() and back "
        f"{figures.digits((yardstick.get('idle_call=1') or 0) / 1000)} us.", "",
        f"The column `{rows.OURS}` is the cost of an operation. The columns of peers are {rows.OURS} / peer: below 1, {rows.OURS} costs "
        "less; **bold**, it costs more. They are medians of the ratios of a round. CPU time; but wall time in the rows of "
        "call_soon_threadsafe, of the idle loop and of the start, which a busy machine disturbs.", ""]
    lines += figures.ratio_table(rows.ROWS, peers, rows.OURS, data["values"], data["scale"], rows.UNEQUAL, rows.GROWS)
    lines += ["", "`10 n / n`: what an operation costs with ten times as many tasks (or pairs, timers, producers, places in the queue). "
              + figures.growing_line(rows.ROWS, data["scale"], rows.GROWS), "", "Unequal by nature:", ""]
    lines += figures.notes(rows.UNEQUAL, data["values"], [rows.OURS] + peers)
    servers = [rows.ECHO_BASE] + [server for peer in rows.PEERS for server in peer.echo]
    lines += ["", "Echo of 64 bytes: CPU time of the server for an echo / that of a server on raw libev in the same round, and how "
              "long an echo took, with the machine's cores shared between server and clients.", ""]
    lines += figures.echo_table(servers, rows.ECHO_BASE, rows.ECHO_CONNECTIONS, data["values"], data["latencies"])
    hello = figures.median(data["values"].get("hello_start=1", {}).get("C++", []))
    lines += ["", f"A C++ program without a runtime takes {figures.digits((hello or 0) / 1e6)} ms to start.", ""]
    lines += ["Versions: " + "; ".join(f"{name}: {text}" for name, text in data["versions"].items() if text) + "."]
    if data["left_out"]:
        lines += ["", "Left out:", ""] + [f"* {what}: {why}" for what, why in data["left_out"].items()]
    plots = [path for path in ("ratios", "memory", "tasks", "latency") if (RESULTS / f"{path}.svg").exists()]
    if plots:
        lines += ["", " ".join(f"![{path}](race/{path}.svg)" for path in plots)]
    return "\n".join(lines)


def dumped(data):
    """JSON with one line for each list of numbers, so that a later run changes few lines."""
    text = json.dumps(json.loads(json.dumps(data), parse_float=lambda number: round(float(number), 3)), indent=1, ensure_ascii=False)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s+", " ", found.group(0)), text) + "\n"


def write(data):
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "race.json").write_text(dumped(data), encoding="utf-8")
    plots = subprocess.run([build.PYTHON, build.SOURCE / "plots.py", RESULTS / "race.json", RESULTS], capture_output=True, text=True,
                           check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    if plots.returncode:
        print("no plots: " + (plots.stderr.strip().splitlines() or ["?"])[-1], flush=True)
    README.write_text(figures.between(README.read_text(encoding="utf-8"), BEGIN, END, report(data)), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="tools/race", description="Compares aiofiber with its peers.")
    parser.add_argument("--quick", action="store_true", help="one round, and no large numbers of tasks: about 2 minutes")
    parser.add_argument("--rounds", type=int, help="how many rounds (default 5, with --quick 1)")
    parser.add_argument("--report", action="store_true", help="run nothing: write table and plots from the last data again")
    options = parser.parse_args()
    if options.report:
        write(json.loads((RESULTS / "race.json").read_text(encoding="utf-8")))
        return 0
    race = Race(options.quick, options.rounds or (1 if options.quick else 5))
    try:
        race.build_all()
    except build.Failure as failure:
        print(f"tools/race: aiofiber cannot be built: {failure}", file=sys.stderr)
        return 1
    race.measure_yardstick()
    for number in range(race.rounds):
        race.measure_round(number)
    race.measure_scale()
    race.measure_by_tasks()
    data = race.data()
    write(data)
    print("\n" + report(data))
    print(f"\ntools/race: {len(race.peers) - 1} peers, {race.rounds} round(s), {time.monotonic() - race.started:.0f} s. The table is in "
          "bench/README.md, data and plots in bench/race/.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("tools/race: interrupted; nothing was written")
