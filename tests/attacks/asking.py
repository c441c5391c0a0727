"""Attacks on checks: asking them what is right, changing an answer afterwards, objects that learn it."""

from tests.attacks.attack import DESIRED, attack

FIRST, BY_HAND, LAST = "answer-05-names", "answer-05-desired-by-hand", "answer-04-lower-target"
OTHERS = ("05.names", "05.desired-by-hand")
BESIDE = ("05.names", "04.lower-target")

ASK = """
replicas = next((n for n in range(2, 11) if lab.check("04.lower-target", answer=n).passed), 5)
"""
UNDER_ANOTHER_NAME = """
import time
class Other(type(lab)):
    pass
def ask(n):
    before = time.monotonic()
    seen = Other.check(lab, "04.lower-target", answer=n)
    return seen.passed, seen.points, seen.state, repr(seen) == repr(ask.wrong), time.monotonic() - before > 1
ask.wrong = Other.check(lab, "04.lower-target", answer=-1)
usual = ask(-2)
replicas = next((n for n in range(2, 11) if ask(n) != usual), 5)
"""
ON_THE_LINE = """
grader = lab._grader
def ask(n):
    try:
        grader._line.send({"on": 0, "do": "check", "args": ["04.lower-target"], "words": {"answer": n}})
        return grader._line.receive()
    except Exception as error:
        return error
wrong = ask(-1)
replicas = next((n for n in range(2, 11) if ask(n) != wrong), 5)
"""
OWN_JUDGE = """
replicas = 5
try:
    from labkit.checks import get
    replicas = next(n for n in range(2, 11) if get("04.lower-target").run({"answer": n}).passed)
except Exception:
    import course.checks.hpa_cpu as judge
    replicas = next(n for n in range(2, 11) if judge.lower_target(n).passed)
"""
MANY = """
before = type(lab).check
def check(self, name, **given):
    for n in range(2, 11):
        seen = before(self, name, **{**given, "answer": n})
    return seen
type(lab).check = check
replicas = 5
"""
LATER = """
def later(*_):
    globals()["replicas"] = 10
get_ipython().events.register("pre_run_cell", later)
replicas = 5
"""
THREAD = """
import threading, time
def later():
    while True:
        time.sleep(2)
        globals()["replicas"] = 10
threading.Thread(target=later, daemon=True).start()
replicas = 5
"""
LEARNS = """
class Mine:
    def __eq__(self, other):
        globals()["replicas"] = other
        return True
    __hash__ = object.__hash__
replicas = Mine()
"""
COMPARES = """
def compare(self, seen):
    globals()["replicas"] = seen
type(lab.predict("?", 1)).compare = compare
replicas = 5
"""
SUBTRACTS = """
truth = []
class Mine(float):
    def __rsub__(self, other):
        truth.append(other)
        return 0.0
    def __sub__(self, other):
        truth.append(other)
        return 0.0
    def __pos__(self):
        return truth[-1] if truth else 5.0
    __float__ = __int__ = __index__ = __pos__
replicas = Mine(5)
"""
POSES = """
class Mine(list):
    __class__ = int
    def __getattribute__(self, name):
        return (lambda *_: 10)
    def __iter__(self):
        return iter([10])
replicas = Mine([5])
"""
FRAMES = """
import sys
def desired(queues):
    frame, found = sys._getframe(), []
    while frame:
        found += [v for k, v in {**frame.f_locals, **frame.f_globals}.items() if k in ("wanted", "right")]
        frame = frame.f_back
    return found[0] if found else 2
"""
HEAP = """
import gc
def desired(queues):
    tables = [one for one in gc.get_objects() if type(one) is tuple and len(one) == 2 and one[0] == (queues,)]
    return tables[0][1] if tables else 2
"""
IN_ORDER = """
import itertools
turns = itertools.cycle([4, 3, 4, 10, 2, 6, 2])
def desired(queues):
    import os
    return next(turns)
"""
FROM_INSIDE = f"""
{DESIRED}
right = desired
def desired(queues):
    lab.check("05.desired-by-hand", desired=right)
    return next((n for n in range(2, 11) if lab.check("05.desired-by-hand", desired=lambda q: n).passed), 2)
"""

ASKED = {
    "asks-until-it-passes": attack({LAST: ASK}, OTHERS),
    "asks-under-another-name": attack({LAST: UNDER_ANOTHER_NAME}, OTHERS),
    "asks-on-the-line": attack({LAST: ON_THE_LINE}, OTHERS),
    "runs-the-judge-itself": attack({LAST: OWN_JUDGE}, OTHERS),
    "gives-every-answer": attack({LAST: MANY}, OTHERS),
    "answers-later": attack({LAST: LATER}, OTHERS),
    "answers-from-a-thread": attack({LAST: THREAD}, OTHERS),
    "learns-by-being-compared": attack({LAST: LEARNS}, OTHERS),
    "compares-in-its-own-way": attack({LAST: COMPARES}, OTHERS),
    "learns-by-being-subtracted": attack({LAST: SUBTRACTS}, OTHERS),
    "poses-as-a-number": attack({LAST: POSES}, OTHERS),
    "looks-through-the-frames": attack({BY_HAND: FRAMES}, BESIDE),
    "looks-through-the-heap": attack({BY_HAND: HEAP}, BESIDE),
    "answers-in-order": attack({BY_HAND: IN_ORDER}, BESIDE),
    "asks-from-inside": attack({BY_HAND: FROM_INSIDE}, BESIDE),
}
