# SPDX-License-Identifier: Apache-2.0
"""Generator of random task programs for fuzz_interp.py: fuzz_gen.py SEED > prog.

Seeds below 10000 speak the language of the first programs, which must stay what they are; those from 10000 on
speak the whole language.  fuzz_gen.cc makes the same bytes of the same seed: every draw has its place in both."""
import sys

class R:
    """The C library's old LCG, so that a C++ port can generate the same programs."""
    def __init__(self, seed): self.s = seed
    def __call__(self, n):
        self.s = (self.s * 1103515245 + 12345) % 2**31
        return self.s // 65536 % n

WHOLE_LANGUAGE = 10000  # the first seed that speaks it

def gen(seed):
    whole = seed >= WHOLE_LANGUAGE
    r = R(seed * 7919 + 13)
    for _ in range(5): r(2)
    names = ["a", "b", "c", "d"]
    vs = ["v0", "v1", "v2", "v3"]
    ms = lambda: (0, 0, 10, 20, 30, 50)[r(6)]
    v = lambda: vs[r(len(vs))]
    event = lambda: f"e{r(2)}"
    handle = lambda: f"h{r(3)}"
    limit = lambda: str((-1, 0, 10, 30)[r(4)])
    def ins(depth, lvl):
        out = ins1(depth, lvl)
        if depth < 4 and out[0][0] in RISKY and r(10) < 7:
            return [["try", str(len(out))]] + out
        return out
    RISKY = ("await", "gather", "waitfor", "shield", "timeout", "group", "raise", "tryraise", "wait", "sleep")
    if whole:
        RISKY += ("put", "get", "ewait", "cond", "cwait", "cwaitfor", "notify", "bwait", "qdone", "qjoin", "putnow", "getnow",
                  "ascomp", "resched", "wfco")
    def ins1(depth, lvl):
        if whole and r(100) < 55: return newer(depth, lvl)
        k = r(100)
        if k < 8: return [["log", f"L{r(100)}"]]
        if k < 18 and lvl < 3: return [["spawn", names[min(lvl + r(2), 3)] if lvl < 3 else "d", v()]]
        if k < 24: return [["fut", v()]]
        if k < 29: return [["set", v(), str(r(100))]]
        if k < 32: return [["fail", v(), str(r(100))]]
        if k < 37: return [["cancel", v(), f"m{r(100)}"]]
        if k < 46: return [["await", v()]]
        if k < 57: return [["sleep", str(ms())]]
        if k < 61: return [["gather", str(r(2)), v(), v()]]
        if k < 65: return [["wait", ("all", "first", "exc")[r(3)], str((-1, 10, 30)[r(3)]), v(), v()]]
        if k < 70: return [["waitfor", str((-1, 0, 10, 30)[r(4)]), v()]]
        if k < 73: return [["shield", v()]]
        if k < 75: return [["put", str(r(100))]]
        if k < 77: return [["get"]]
        if k < 78: return [["raise", str(r(100))]]
        if k < 79: return [["return", str(r(100))]]
        if depth >= 3: return [["sleep", str(ms())]]
        inner = block(depth + 1, 1 + r(3), lvl)
        n = str(len(inner))
        if k < 83: return [["timeout", str((5, 10, 20, 40)[r(4)]), n]] + inner
        if k < 88: return [["try", n]] + inner
        if k < 90: return [["tryraise", n]] + inner
        if k < 93:
            last = block(depth + 1, 1, lvl)
            return [["finally", n, str(len(last))]] + inner + last
        if k < 96 and lvl < 3: return [["group", str(len(inner) + 1)], ["gspawn", names[lvl + 1] if lvl < 3 else "d"]] + inner
        if k < 98: return [["lock", n]] + inner
        return [["sem", n]] + inner
    def newer(depth, lvl):
        k = r(100)
        if k < 6: return [["eset", event()]]
        if k < 9: return [["eclear", event()]]
        if k < 16: return limited([["ewait", event()]])
        if k < 22: return [["cond", "1"], ["notify", ("1", "1", "2", "all")[r(4)]]]
        if k < 27: return limited([["cond", "1"], ["cwait"]])
        if k < 30: return limited([["cond", "1"], ["cwaitfor", str(r(3))]])
        if k < 31: return [[("cwait", "notify")[r(2)], "1"]]
        if k < 38: return limited([["bwait", ("2", "2", "3")[r(3)]]])
        if k < 39: return [[("breset", "breset", "babort")[r(3)], str(2 + r(2))]]
        if k < 42: return [["qdone"]]
        if k < 45: return limited([["qjoin"]])
        if k < 46: return [["qshut", str(r(2))]]
        if k < 48: return [["qnew"]]
        if k < 50: return [["putnow", str(r(100))]]
        if k < 52: return [["getnow"]]
        if k < 58: return [["ascomp", str((-1, 10, 30)[r(3)]), v(), v(), v()]]
        if k < 66: return callback(0, lvl)
        if k < 69: return [["hcancel", handle()]]
        if k < 75:
            inner = quick_block(0, lvl)
            return [["ondone", f"c{r(3)}", v(), str(len(inner))]] + inner
        if k < 77: return [["undone", f"c{r(3)}"]]
        if k < 81: return [["uncancel", v()]]
        if k < 84: return [["uncancel", "self"]]
        if k < 86: return [["resched", limit()]]
        if k < 92 and lvl < 4: return [["wfco", limit(), names[lvl]]]
        if depth >= 3: return [["sleep", str(ms())]]
        inner = block(depth + 1, 1 + r(2), lvl)
        if k < 96:
            inner = inner + [["resched", limit()]] + block(depth + 1, 1, lvl)
            return [["timeout", str((5, 10, 20, 40)[r(4)]), str(len(inner))]] + inner
        return [["cond", str(len(inner))]] + inner
    def limited(lines):
        """Most of what may wait for ever gets a limit, or most programs would stand still soon."""
        if r(3) == 0: return lines
        return [["timeout", str((5, 10, 20, 40)[r(4)]), str(len(lines))]] + lines
    def callback(depth, lvl):
        inner = quick_block(depth, lvl)
        n = str(len(inner))
        k = r(6)
        if k < 2: return [["soon", handle(), n]] + inner
        return [["later" if k < 5 else "at", handle(), str(ms()), n]] + inner
    def quick_block(depth, lvl):
        out = []
        for _ in range(1 + r(2)): out += quick(depth, lvl)
        return out
    def quick(depth, lvl):
        """What a callback can do: nothing that waits."""
        k = r(15)
        if k < 2: return [["log", f"L{r(100)}"]]
        if k < 4: return [["set", v(), str(r(100))]]
        if k < 5: return [["fail", v(), str(r(100))]]
        if k < 7: return [["cancel", v(), f"m{r(100)}"]]
        if k < 8: return [["eset", event()]]
        if k < 9: return [["putnow", str(r(100))]]
        if k < 10: return [["getnow"]]
        if k < 11: return [["hcancel", handle()]]
        if k < 12: return [["uncancel", v()]]
        if k < 13: return [["raise", str(r(100))]]
        if k < 14 and lvl < 3: return [["spawn", names[lvl], v()]]
        if depth < 2: return callback(depth + 1, lvl)
        return [["qdone"]]
    def block(depth, count, lvl):
        out = []
        for _ in range(count): out += ins(depth, lvl)
        return out
    def emit(name, code):
        print("task", name)
        for w in code: print("  " + " ".join(w))
        print("end")
    head = [["spawn", "a", "v0"], ["spawn", "b", "v1"], ["fut", "v2"], ["fut", "v3"]]
    emit("main", head + block(0, 6 + r(6), 0))
    for i, n in enumerate(names): emit(n, block(0, 4 + r(6), i + 1))

gen(int(sys.argv[1]))
