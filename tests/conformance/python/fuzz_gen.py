# SPDX-License-Identifier: Apache-2.0
"""Generator of random task programs for fuzz_interp.py: fuzz_gen.py SEED > prog."""
import sys

class R:
    """The C library's old LCG, so that a C++ port can generate the same programs."""
    def __init__(self, seed): self.s = seed
    def __call__(self, n):
        self.s = (self.s * 1103515245 + 12345) % 2**31
        return self.s // 65536 % n

def gen(seed):
    r = R(seed * 7919 + 13)
    for _ in range(5): r(2)
    names = ["a", "b", "c", "d"]
    vs = ["v0", "v1", "v2", "v3"]
    ms = lambda: (0, 0, 10, 20, 30, 50)[r(6)]
    v = lambda: vs[r(len(vs))]
    def ins(depth, lvl):
        out = ins1(depth, lvl)
        if depth < 4 and out[0][0] in RISKY and r(10) < 7:
            return [["try", str(len(out))]] + out
        return out
    RISKY = ("await", "gather", "waitfor", "shield", "timeout", "group", "raise", "tryraise", "wait", "sleep")
    def ins1(depth, lvl):
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
