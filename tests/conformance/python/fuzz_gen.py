# SPDX-License-Identifier: Apache-2.0
"""Generator of random task programs for fuzz_interp.py: fuzz_gen.py SEED > PROG.

fuzz_gen.cc makes the same bytes from the same seed: both draw random numbers at the same places, and the tables are the
same."""
import collections
import sys

NAMES = ("a", "b", "c", "d")
DEEPEST_LEVEL = 3           # bodies of this level and below start no others
DEEPEST_BLOCK = 3
DEEPEST_TRY = 4
FIRST_WITH_STREAMS = 5001   # the programs of this seed and larger ones are about streams; the others have none

Place = collections.namedtuple("Place", "depth level")      # of blocks in blocks; of bodies that start bodies

# What a body is made of, with shares: a subject a table. What is not possible at its place leaves it to the next.
FUTURES = (
    (30, "log"), (45, "spawn"), (30, "fut"), (25, "set"), (15, "fail"), (25, "cancel"), (20, "uncancel"),
    (10, "uncancel_self"), (45, "await"), (50, "sleep"), (25, "gather"), (25, "wait"), (30, "ascomp"), (25, "waitfor"),
    (35, "wfco"), (20, "shield"))
FLOW = (
    (25, "timeout"), (25, "timeout_resched"), (8, "resched"), (15, "try"), (10, "tryraise"), (20, "finally"),
    (15, "group"), (5, "raise"), (5, "return"))
LOCKS = ((15, "lock"), (10, "sem"))
CONDITION = ((15, "cond"), (40, "notify"), (30, "cwait"), (20, "cwaitfor"), (4, "unlocked"))
EVENT = ((30, "eset"), (15, "eclear"), (40, "ewait"))
BARRIER = ((60, "bwait"), (14, "breset"), (4, "babort"))
PRODUCERS = ((30, "put"), (15, "putnow"), (12, "qjoin"), (5, "qshut"), (3, "qnew"))
CONSUMERS = ((20, "get"), (30, "work"), (10, "getnow"), (8, "qdone"), (12, "qjoin"), (5, "qshut"), (3, "qnew"))
CALLBACKS = ((45, "callback"), (15, "hcancel"), (35, "ondone"), (12, "undone"))
STREAMS = (
    (70, "feed"), (8, "eof"), (25, "last_words"), (2, "rfail"), (8, "rfail_rnew"), (8, "rnew"), (120, "reads"),
    (15, "lines"), (8, "spawn"), (15, "sleep"), (15, "cancel"), (10, "rstate"))
SUBJECTS = (FUTURES, FLOW, LOCKS, CONDITION, EVENT, BARRIER, PRODUCERS, CONSUMERS, CALLBACKS)
INSTRUCTIONS = sum(SUBJECTS, ())

# What a callback is made of: nothing that waits.
QUICK = (
    (4, "log"), (4, "set"), (2, "fail"), (4, "cancel"), (3, "eset"), (1, "eclear"), (4, "putnow"), (1, "getnow"),
    (2, "hcancel"), (2, "uncancel"), (1, "raise"), (2, "spawn"), (4, "callback"), (2, "qdone"))
QUICK_STREAMS = ((16, "feed"), (2, "eof"), (2, "rfail"), (1, "rnew"), (2, "rstate"), *QUICK)

# What may raise. Most of it gets a `try`, or programs would end after a few lines.
RISKY = {
    "await", "gather", "wait", "ascomp", "waitfor", "wfco", "shield", "sleep", "timeout", "resched", "tryraise",
    "group", "raise", "cond", "cwait", "cwaitfor", "notify", "ewait", "bwait", "put", "get", "putnow", "getnow",
    "qdone", "qjoin", "read", "readline", "readexactly", "readuntil", "lines"}


class Random:
    """The generator splitmix64."""
    def __init__(self, seed):
        self.state = seed

    def __call__(self, below):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        mixed = self.state
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
        return (mixed ^ mixed >> 31) % below


def nest(first, inner):
    return [[*first, str(len(inner))], *inner]


class Generator:
    """make_NAME gives the lines of what the tables call NAME, or None if it is not possible at its place."""
    def __init__(self, seed):
        self.random = Random(seed)
        # Half of a program is about its theme, so that much of it meets.
        with_streams = seed >= FIRST_WITH_STREAMS
        self.theme = STREAMS if with_streams else self.one_of(*SUBJECTS)
        self.quick = QUICK_STREAMS if with_streams else QUICK

    def program(self):
        bodies = [("main", self.main())]
        bodies += [(name, self.block(Place(0, level), 4 + self.random(6))) for level, name in enumerate(NAMES, 1)]
        for name, lines in bodies:
            yield f"task {name}"
            for words in lines:
                yield "  " + " ".join(words)
            yield "end"

    def main(self):
        """When it ends everything is cancelled; the others have some time before that."""
        start = [["spawn", "a", "v0"], ["spawn", "a", "v1"], ["spawn", "b", "v2"], ["fut", "v3"]]
        lines = self.block(Place(0, 0), 6 + self.random(6))
        return [*start, ["finally", str(len(lines)), "1"], *lines, ["sleep", "300"]]

    # ---- draws
    def one_of(self, *choices):
        return choices[self.random(len(choices))]

    def pick(self, table, place):
        left = self.random(sum(share for share, _ in table))
        for share, name in table:
            left -= share
            if left < 0:
                lines = getattr(self, "make_" + name)(place)
                if lines is not None:
                    return lines
        raise AssertionError("the last of a table is always possible")

    def number(self):
        return str(self.random(100))

    def variable(self):
        return f"v{self.random(4)}"

    def event(self):
        return f"e{self.random(2)}"

    def handle(self):
        return f"h{self.random(3)}"

    def removable(self):
        return f"c{self.random(3)}"

    def delay(self):
        return self.one_of("0", "0", "10", "20", "30", "50")

    def limit(self):
        return self.one_of("-1", "0", "10", "30")

    def waiting_limit(self):
        return self.one_of("-1", "10", "30")

    def timeout(self, lines):
        return nest(["timeout", self.one_of("5", "10", "20", "50")], lines)

    def limited(self, lines):
        """Most of what may wait for ever gets a limit, or most programs would stand still soon."""
        return lines if self.random(3) == 0 else self.timeout(lines)

    # ---- blocks
    def block(self, place, count):
        lines = []
        for _ in range(count):
            lines += self.guarded(place)
        return lines

    def guarded(self, place):
        lines = self.pick(self.theme if self.random(2) == 0 else INSTRUCTIONS, place)
        if place.depth < DEEPEST_TRY and lines[0][0] in RISKY and self.random(10) < 8:
            return nest(["try"], lines)
        return lines

    def inner(self, place, most):
        """The lines of a block at this place; where blocks are deep enough a sleep."""
        if place.depth >= DEEPEST_BLOCK:
            return self.make_sleep(place)
        return self.block(place._replace(depth=place.depth + 1), 1 + self.random(most))

    def quick_block(self, place):
        lines = []
        for _ in range(1 + self.random(2)):
            lines += self.pick(self.quick, place)
        return lines

    # ---- tasks and futures
    def make_log(self, place):
        return [["log", "L" + self.number()]]

    def make_spawn(self, place):
        """One task or two; two of a body meet at the same places."""
        if place.level >= DEEPEST_LEVEL:
            return None
        name = NAMES[place.level + self.random(2)]
        return [["spawn", name, self.variable()] for _ in range(1 + self.random(2))]

    def make_fut(self, place):
        return [["fut", self.variable()]]

    def make_set(self, place):
        return [["set", self.variable(), self.number()]]

    def make_fail(self, place):
        return [["fail", self.variable(), self.number()]]

    def make_cancel(self, place):
        return [["cancel", self.variable(), "m" + self.number()]]

    def make_uncancel(self, place):
        return [["uncancel", self.variable()]]

    def make_uncancel_self(self, place):
        return [["uncancel", "self"]]

    def make_await(self, place):
        return [["await", self.variable()]]

    def make_sleep(self, place):
        return [["sleep", self.delay()]]

    def make_gather(self, place):
        return [["gather", self.one_of("0", "1"), self.variable(), self.variable()]]

    def make_wait(self, place):
        return [["wait", self.one_of("all", "first", "exc"), self.waiting_limit(), self.variable(), self.variable()]]

    def make_ascomp(self, place):
        return [["ascomp", self.waiting_limit(), self.variable(), self.variable(), self.variable()]]

    def make_waitfor(self, place):
        return [["waitfor", self.limit(), self.variable()]]

    def make_wfco(self, place):
        if place.level >= len(NAMES):
            return None
        return [["wfco", self.limit(), NAMES[place.level]]]

    def make_shield(self, place):
        return [["shield", self.variable()]]

    # ---- the flow of control
    def make_timeout(self, place):
        return self.timeout(self.inner(place, 3))

    def make_timeout_resched(self, place):
        lines = self.inner(place, 2)
        lines += self.make_resched(place)
        return self.timeout(lines + self.inner(place, 1))

    def make_resched(self, place):
        return [["resched", self.limit()]]

    def make_try(self, place):
        return nest(["try"], self.inner(place, 3))

    def make_tryraise(self, place):
        return nest(["tryraise"], self.inner(place, 3))

    def make_finally(self, place):
        lines = self.inner(place, 3)
        last = self.inner(place, 1)
        return [["finally", str(len(lines)), str(len(last))], *lines, *last]

    def make_group(self, place):
        if place.level >= DEEPEST_LEVEL:
            return None
        name = NAMES[place.level + self.random(2)]
        lines = [["gspawn", name] for _ in range(1 + self.random(3))]
        lines += self.inner(place, 2)
        if self.random(3) == 0:
            lines.append(["gspawn", name])      # refused if the group is ending by then
        return nest(["group"], lines)

    def make_raise(self, place):
        return [["raise", self.number()]]

    def make_return(self, place):
        return [["return", self.number()]]

    # ---- locks
    def make_lock(self, place):
        return nest(["lock"], self.inner(place, 3))

    def make_sem(self, place):
        return nest(["sem"], self.inner(place, 3))

    def make_cond(self, place):
        return nest(["cond"], self.inner(place, 2))

    def make_notify(self, place):
        return nest(["cond"], [["notify", self.one_of("1", "1", "2", "all")]])

    def make_cwait(self, place):
        return self.limited(nest(["cond"], [["cwait"]]))

    def make_cwaitfor(self, place):
        return self.limited(nest(["cond"], [["cwaitfor", str(self.random(3))]]))

    def make_unlocked(self, place):
        """An error, or not if the lock is held by chance."""
        return [["cwait"]] if self.random(2) == 0 else [["notify", "1"]]

    def make_eset(self, place):
        return [["eset", self.event()]]

    def make_eclear(self, place):
        return [["eclear", self.event()]]

    def make_ewait(self, place):
        return self.limited([["ewait", self.event()]])

    def parties(self):
        return self.one_of("2", "2", "3")

    def make_bwait(self, place):
        return self.limited([["bwait", self.parties()]])

    def make_breset(self, place):
        return [["breset", self.parties()]]

    def make_babort(self, place):
        return [["babort", self.parties()]]

    # ---- the queue
    def make_put(self, place):
        return self.limited([["put", self.number()]])

    def make_get(self, place):
        return self.limited([["get"]])

    def make_work(self, place):
        return self.limited([["get"], ["qdone"]])

    def make_putnow(self, place):
        return [["putnow", self.number()]]

    def make_getnow(self, place):
        return [["getnow"]]

    def make_qdone(self, place):
        return [["qdone"]]

    def make_qjoin(self, place):
        return self.limited([["qjoin"]])

    def make_qshut(self, place):
        """Mostly there is another queue some time later."""
        lines = [["qshut", self.one_of("0", "1")]]
        return lines if self.random(3) == 0 else [*lines, ["sleep", self.delay()], ["qnew"]]

    def make_qnew(self, place):
        return [["qnew"]]

    # ---- streams
    def reader(self):
        return f"r{self.random(2)}"

    def bytes(self, most):
        """Few different letters, so that separators occur, also in parts and in each other."""
        return "".join([self.one_of("a", "a", "b", "b", "/") for _ in range(1 + self.random(most))])

    def renewed(self, lines, place):
        """There is another reader some time later."""
        return [*lines, *self.make_sleep(place), ["rnew", lines[0][1], self.most_of_reader()]]

    def most_of_reader(self):
        return self.one_of("1", "2", "4", "8", "65536")

    def make_feed(self, place):
        """One piece or several, to one reader."""
        name = self.reader()
        return [["feed", name, self.bytes(8)] for _ in range(1 + self.random(3))]

    def make_eof(self, place):
        return [["eof", self.reader()]]

    def make_last_words(self, place):
        """Mostly a piece, the end, and another reader some time later."""
        lines = self.make_eof(place)
        if self.random(4) > 0:
            lines = [["feed", lines[0][1], self.bytes(8)], *lines]
        return self.renewed(lines, place)

    def make_rfail(self, place):
        return [["rfail", self.reader(), self.number()]]

    def make_rfail_rnew(self, place):
        return self.renewed(self.make_rfail(place), place)

    def make_rnew(self, place):
        return [["rnew", self.reader(), self.most_of_reader()]]

    def make_reads(self, place):
        """One read or several of one reader; most continue after an error."""
        name = self.reader()
        lines = []
        for _ in range(1 + self.random(3)):
            words = self.read(name)
            lines += [words] if self.random(5) == 0 else nest(["try"], [words])
        return self.limited(lines)

    def read(self, name):
        kind = self.one_of("read", "read", "readline", "readline", "readexactly", "readexactly", "readuntil", "readuntil",
                           "readuntil")
        words = [kind, name]
        if kind == "read":
            words.append(self.one_of("-1", "-1", "0", "1", "2", "5", "5", "100"))
        elif kind == "readexactly":
            words.append(self.one_of("-1", "0", "1", "2", "3", "5", "9", "9"))
        elif kind == "readuntil":
            words += self.separators()
        return words

    def separators(self):
        """One or several; seldom none, or an empty one."""
        kind = self.random(40)
        if kind == 0:
            return []
        texts = [self.bytes(3) for _ in range(1 + self.random(3))]
        return [*texts, "-"] if kind == 1 else texts

    def make_lines(self, place):
        return self.limited([["lines", self.reader()]])

    def make_rstate(self, place):
        return [["rstate", self.reader()]]

    # ---- callbacks
    def make_callback(self, place):
        kind = self.one_of("soon", "soon", "later", "later", "later", "at")
        words = [kind, self.handle()]
        if kind != "soon":
            words.append(self.delay())
        return nest(words, self.quick_block(place))

    def make_hcancel(self, place):
        return [["hcancel", self.handle()]]

    def make_ondone(self, place):
        words = ["ondone", self.removable(), self.variable()]
        return nest(words, self.quick_block(place))

    def make_undone(self, place):
        return [["undone", self.removable()]]


if __name__ == "__main__":
    for line in Generator(int(sys.argv[1])).program():
        print(line)
