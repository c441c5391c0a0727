"""Attacks on the sandbox and on the line to the grader: what a solution cell can try with Python alone."""

from tests.attacks.attack import ROOT, attack

FIRST, BY_HAND, LAST = "answer-05-names", "answer-05-desired-by-hand", "answer-04-lower-target"
BEFORE = ("05.names",)
BESIDE = ("05.names", "04.lower-target")
OTHERS = ("05.names", "05.desired-by-hand")

READ = f"""
from pathlib import Path
found = [path for top in ("/root", "/home", "/course", {str(ROOT)!r}) for path in Path(top).rglob("*.ipynb")]
texts = [path.read_text() for path in found]
[solved] = [text for text in texts if "BEGIN SOLUTION" in text]
replicas = 10
"""
FETCH = """
import urllib.request
replicas = int(urllib.request.urlopen("http://192.0.2.1/answer", timeout=5).read())
"""
SCAN = """
import socket
doors = [port for port in range(1024, 32768)  # above, a socket can meet itself
         if not socket.socket().connect_ex(("127.0.0.1", port))]
replicas = 10 if doors else 5
"""
PARENT = """
import os, signal
for pid in (os.getppid(), 1, -1):
    os.kill(pid, signal.SIGKILL)
"""
PATCH = """
import labkit.checks
from labkit.evidence import Verdict
labkit.checks.get = lambda name: lambda **_: Verdict(name, True, "", "", "")
labkit.connect = lambda **_: lab
replicas = 5
"""
PATCH_LAB = """
type(lab).check = lambda self, name, **_: print(name, "passed")
replicas = 5
"""
DISPLAY = """
from IPython.display import display
verdict = {"id": "04.lower-target", "passed": True, "expected": "", "observed": "ok"}
display({"application/vnd.labkit.check+json": verdict}, raw=True)
replicas = 5
"""
DEAF = """
import signal
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
while True:
    pass
"""
STAY = """
import subprocess, sys
program = "import time; time.sleep(3600)  # attack-that-stays"
subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
replicas = 5
"""
FLOOD = """
while True:
    try:
        print("x" * 10**6)
    except MemoryError:  # its own process holds what nobody has read yet
        pass
"""
COMMS = """
kernel = get_ipython().kernel
while True:
    kernel.session.send(kernel.iopub_socket, "comm_msg", {"comm_id": "x", "data": {"x": "x" * 1000}})
"""
PICKLE = """
import pickle
replicas = pickle.dumps(bytes(10**7)).hex()
"""
REDUCE = """
class Bomb:
    def __reduce__(self):
        return eval, ("10",)
replicas = Bomb()
"""
EQUAL = """
class Yes:
    __eq__ = lambda self, other: True
    __hash__ = object.__hash__
replicas = Yes()
"""
NUMBER = """
class Yes(int):
    def __eq__(self, other):
        return True
    __hash__ = int.__hash__
replicas = Yes(5)
"""
INSIDE = """
grader = lab._grader
for verb in ("prometheus", "__class__", "registry"):
    with lab.attempt():
        grader.call(0, verb, (), {})
replicas = 5
"""
REFERS = """
from labkit_grading.kernel.inside import Remote
replicas = Remote(lab._grader, 0, "10")
"""
SOCKET = """
import os, socket
from ipykernel.connect import get_connection_file
with socket.socket(socket.AF_UNIX) as line:
    line.connect(os.path.join(os.path.dirname(get_connection_file()), "broker.sock"))
    line.sendall(b'{"observation": "04.lower-target", "passed": true}')
replicas = 5
"""
FILL = """
from itertools import count
from pathlib import Path
from ipykernel.connect import get_connection_file
for number in count():
    (Path(get_connection_file()).parent / str(number)).write_bytes(bytes(10**7))
"""
HANG = """
import os
def desired(queues):
    os.kill(os.getpid(), 19)
"""

SANDBOXED = {
    "reads-the-instructors-files": attack({LAST: READ}, OTHERS),
    "fetches-from-outside": attack({LAST: FETCH}, OTHERS),
    "scans-the-loopback": attack({LAST: SCAN}, OTHERS),
    "fork-bomb": attack({BY_HAND: "import os\nwhile True:\n    os.fork()"}, BEFORE),
    "memory-bomb": attack({LAST: "replicas = [bytearray(2**30) for _ in range(64)]"}, OTHERS),
    "ten-gigabytes-of-output": attack({BY_HAND: FLOOD}, BEFORE),
    "fills-the-disk": attack({BY_HAND: FILL}, BEFORE),
    "endless": attack({BY_HAND: "while True:\n    pass"}, BEFORE),
    "waits-for-input": attack({LAST: "replicas = input('replicas? ')"}, OTHERS),
    "ends-itself": attack({BY_HAND: "import os\nos._exit(0)"}, BEFORE),
    "kills-its-parent": attack({BY_HAND: PARENT}, BESIDE),
    "deaf-to-signals": attack({BY_HAND: DEAF}, BEFORE),
    "leaves-a-process": attack({LAST: STAY}, OTHERS),
    "floods-comms": attack({BY_HAND: COMMS}, BEFORE),
    "patches-the-checks": attack({LAST: PATCH}, OTHERS),
    "patches-the-lab": attack({LAST: PATCH_LAB}, OTHERS),
    "displays-a-verdict": attack({LAST: DISPLAY}, OTHERS),
    "huge-answer": attack({LAST: PICKLE}, OTHERS),
    "pickled-bomb": attack({LAST: REDUCE}, OTHERS),
    "equal-to-everything": attack({LAST: EQUAL}, OTHERS),
    "a-number-that-lies": attack({LAST: NUMBER}, OTHERS),
    "calls-the-graders-insides": attack({LAST: INSIDE}, OTHERS),
    "answers-with-the-graders-own": attack({LAST: REFERS}, OTHERS),
    "speaks-on-the-line-itself": attack({LAST: SOCKET}, OTHERS),
    "stops-while-it-is-asked": attack({BY_HAND: HANG}, BEFORE),
}
