#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plots of the race: plots.py RACE.JSON FOLDER writes ratios.svg, memory.svg, tasks.svg and latency.svg. The same data gives
the same bytes: no date, no random names. Text stays text, and coordinates have two digits, so the files are small."""
import json
import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402  after use()

import figures  # noqa: E402
import rows  # noqa: E402

plt.rcParams.update({"svg.hashsalt": "race", "svg.fonttype": "none", "font.size": 8, "axes.spines.top": False,
                     "axes.spines.right": False, "legend.frameon": False, "path.simplify": True})
MARKERS = "osD^vP*Xhp<>"


def names(peers):
    """(peer, colour, marker): the same for a peer in each plot."""
    palette = list(plt.get_cmap("tab10").colors) + ["black", "0.6"]
    return [(peer, palette[index % len(palette)], MARKERS[index % len(MARKERS)]) for index, peer in enumerate(peers)]


def save(figure, path):
    figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    plt.close(figure)
    text = Path(path).read_text(encoding="utf-8")
    Path(path).write_text(re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number.group()):.2f}".rstrip("0").rstrip("."), text),
                          encoding="utf-8")


def plot_ratios(data, path):
    """For each row and peer a bar from 1 to the median, and a line from the lowest to the highest ratio of a round."""
    peers = [peer for peer in data["versions"] if peer != rows.OURS]
    shown = [row for row in rows.ROWS if any(figures.ratio(data["values"], row.key, rows.OURS, peer) for peer in peers)]
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(shown) + 1))
    step = 0.8 / max(1, len(peers))
    for index, (peer, colour, _) in enumerate(names(data["versions"])[1:]):
        found = [(line, figures.ratio(data["values"], row.key, rows.OURS, peer)) for line, row in enumerate(shown)]
        found = [(line + (index + 0.5) * step - 0.4, ratio) for line, ratio in found if ratio]
        if not found:
            continue
        places = [place for place, _ in found]
        axes.barh(places, [ratio.median - 1 for _, ratio in found], left=1, height=step, color=colour, label=peer)
        axes.hlines(places, [ratio.low for _, ratio in found], [ratio.high for _, ratio in found], color="black", linewidth=0.6)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(shown)), [row.label for row in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("aiofiber / peer; left of 1: aiofiber costs less")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, path)


def plot_by_tasks(axes, of_peer, peers, label):
    for peer, colour, marker in names(peers):
        points = of_peer.get(peer)
        if points:
            axes.plot(*zip(*points), color=colour, marker=marker, markersize=3, linewidth=1, label=peer)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("tasks")
    axes.set_ylabel(label)


def plot_tasks(data, path):
    figure, both = plt.subplots(1, 2, figsize=(8, 3))
    for axes, (measure, label) in zip(both, [("yield", "ns for a yield"), ("spawn", "ns to create and finish a task")]):
        plot_by_tasks(axes, data["by_tasks"].get(measure, {}), data["versions"], label)
    both[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    save(figure, path)


def plot_memory(data, path):
    of_peer = {peer: [(n, n * each / 2**20) for n, each in points if each > 0]
               for peer, points in data["by_tasks"].get("sleeper_bytes", {}).items()}
    figure, axes = plt.subplots(figsize=(5, 3))
    plot_by_tasks(axes, of_peer, data["versions"], "MiB of sleeping tasks, page tables included")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, path)


def plot_latency(data, path):
    """Histograms of the echo servers, drawn as lines: the share of all echoes in each step."""
    shown = {key: data["latencies"][key] for key in data["latencies"] if data["latencies"][key]}
    if not shown:
        return
    servers = [rows.ECHO_BASE] + [server for peer in rows.PEERS for server in peer.echo]
    figure, all_axes = plt.subplots(len(shown), 1, figsize=(7, 2.6 * len(shown)), squeeze=False)
    for axes, (key, of_server) in zip(all_axes[:, 0], shown.items()):
        for server, colour, _ in names(servers):
            steps = of_server.get(server)
            if steps:
                total = sum(count for _, count in steps)
                axes.plot([end for end, _ in steps], [100 * count / total for _, count in steps], color=colour, linewidth=1,
                          drawstyle="steps-pre", label=server)
        axes.set_xscale("log")
        axes.set_xlabel(f"us for an echo, {int(key.partition('=')[2]):,} connections")
        axes.set_ylabel("% of echoes")
    all_axes[0, 0].legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    save(figure, path)


def main():
    data, folder = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])
    for name, plot in [("ratios", plot_ratios), ("memory", plot_memory), ("tasks", plot_tasks), ("latency", plot_latency)]:
        plot(data, folder / f"{name}.svg")


if __name__ == "__main__":
    main()
