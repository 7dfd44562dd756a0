# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of the race: values out of the peers' lines, ratios of the same round, growth, and the tables. Knows nothing
of processes or files; tests/tools/race_test.py tests it.

`values` is {key: {peer: [the value of each round, or None]}}; a key is `yield=1000`."""
import statistics
from collections import namedtuple

Ratio = namedtuple("Ratio", "median low high")


def parse(output):
    """{key: [values]} of the lines `key<TAB>value` that a peer printed, without the first of several."""
    found = {}
    for line in output.splitlines():
        key, tab, value = line.partition("\t")
        if tab and "=" in key:
            found.setdefault(key, []).append(float(value))
    return {key: values[1:] or values for key, values in found.items()}


def latencies(output):
    """[(upper end in us, count)] of the lines `latency<TAB>END<TAB>COUNT`."""
    parts = (line.split("\t") for line in output.splitlines())
    return [(float(part[1]), int(part[2])) for part in parts if part[0] == "latency" and len(part) == 3]


def percentile(histogram, share):
    """The end of the step at which `share` of all counts is reached; None without counts."""
    total, seen = sum(count for _, count in histogram), 0
    for end, count in sorted(histogram):
        seen += count
        if seen >= share * total:
            return end
    return None


def median(values):
    """The median of the values that are there, or None."""
    present = [value for value in values if value is not None]
    return statistics.median(present) if present else None


def ratio(values, key, ours, peer):
    """Ours / the peer's in the same round: the median of the rounds and its range. None if no round has both."""
    of_peer = values.get(key, {})
    both = [mine / other for mine, other in zip(of_peer.get(ours, []), of_peer.get(peer, [])) if mine is not None and other]
    return Ratio(statistics.median(both), min(both), max(both)) if both else None


def growth(scale_values, scale):
    """The cost of one operation at 10 n / at n, or None."""
    if scale is None:
        return None
    small, big = (median(scale_values.get(key, [])) for key in scale)
    return big / small if small and big is not None else None


def digits(value):
    """Three significant digits, or what has more before the point; thousands are separated."""
    if value is None:
        return ""
    for limit, places in ((0.1, 3), (10, 2), (100, 1)):
        if abs(value) < limit:
            return f"{value:.{places}f}"
    return f"{value:,.0f}"


def cost(value, measure):
    """A value of aiofiber's column with its unit."""
    if measure.endswith("_bytes"):
        return f"{digits(value)} B"
    if value >= 1e6:
        return f"{digits(value / 1e6)} ms"
    return f"{digits(value / 1000)} us" if value >= 1e4 else f"{digits(value)} ns"


def letters(unequal):
    """{(measure, peer): letters} for the cells of the table."""
    found = {}
    for letter, (measures, peers, _) in zip("abcdefghijklmnopqrstuvwxyz", unequal):
        for measure in measures:
            for peer in peers:
                found[measure, peer] = found.get((measure, peer), "") + letter
    return found


def ratio_table(rows, peers, ours, values, scale_values, unequal, grows):
    """Lines of the table: ours in its unit, its growth, and ours / each peer. Bold: ours costs more, or grows too much."""
    present = [peer for peer in peers if any(ratio(values, row.key, ours, peer) for row in rows)]
    letter_of = letters(unequal)
    lines = [f"| measure | {ours} | 10 n / n | " + " | ".join(present) + " |", "|---" * (len(present) + 3) + "|"]
    for row in rows:
        measure = row.key.partition("=")[0]
        mine = median(values.get(row.key, {}).get(ours, []))
        if mine is None:
            continue
        own_letter = letter_of.get((measure, ours), "")
        cells = [row.label, cost(mine, measure) + (f" ({own_letter})" if own_letter else "")]
        grown = growth(scale_values, row.scale)
        cells.append("" if grown is None else f"**{digits(grown)}**" if grown > grows else digits(grown))
        for peer in present:
            of_peer = ratio(values, row.key, ours, peer)
            text = digits(of_peer.median) if of_peer else ""
            if of_peer and of_peer.median > 1:
                text = f"**{text}**"
            if of_peer and (measure, peer) in letter_of:
                text += f" ({letter_of[measure, peer]})"
            cells.append(text)
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def notes(unequal, values, peers):
    """Lines that explain the letters that the table has."""
    shown = {(key.partition("=")[0], peer) for key, of_peer in values.items() for peer in of_peer}
    lines = []
    for letter, (measures, of_peers, text) in zip("abcdefghijklmnopqrstuvwxyz", unequal):
        if any((measure, peer) in shown for measure in measures for peer in of_peers if peer in peers):
            lines.append(f"* ({letter}) {', '.join(of_peers)}: {text}.")
    return lines


def growing_line(rows, scale_values, grows):
    """A sentence about the rows whose operation costs more at 10 n."""
    known = [(row, growth(scale_values, row.scale)) for row in rows]
    known = [(row, grown) for row, grown in known if grown is not None]
    growing = [f"{row.label} ({digits(grown)})" for row, grown in known if grown > grows]
    if not known:
        return "No row was measured at 10 n."
    if not growing:
        return f"At 10 n no row costs more than {grows} times as much for an operation."
    return f"At 10 n these rows cost more than {grows} times as much for an operation: {'; '.join(growing)}."


def echo_table(servers, base, connections, values, histograms):
    """Lines of the table of echo servers: CPU of an echo / raw libev in the same round, and how long an echo took."""
    lines = ["| server | " + " | ".join(f"{n:,} connections | median | 99 %" for n in connections) + " |",
             "|---" * (1 + 3 * len(connections)) + "|"]
    for server in servers:
        cells = [server]
        for n in connections:
            key = f"echo={n}"
            of_base, histogram = ratio(values, key, server, base), histograms.get(key, {}).get(server, [])
            if of_base is None:
                cells += ["", "", ""]
                continue
            mean = f" ({digits(median(values[key][base]) / 1000)} us)" if server == base else ""
            cells += [digits(of_base.median) + mean] + [f"{digits(percentile(histogram, share))} us" for share in (0.5, 0.99)]
        if any(cells[1:]):
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def between(text, begin, end, content):
    """The text with `content` between two lines; ValueError if it does not have them."""
    first, last = text.find(begin), text.find(end)
    if first < 0 or last < first:
        raise ValueError(f"no place between {begin} and {end}")
    return text[:first + len(begin)] + "\n" + content.strip("\n") + "\n" + text[last:]
