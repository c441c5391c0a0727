"""Load on a model server: locust in a process of its own, traces, and results.

    >>> from labkit import load
    >>> shape = load.Closed(users=40, seconds=300)
    >>> running = load.start(load.Load(url="http://127.0.0.1:8000", shape=shape), out)
    >>> running.wait().summary()

All times are in lab seconds (real seconds times the clock). Refuses to target another machine unless the load
allows it, and to judge a run in which the generator itself was starved.
"""

from labkit.load import arrivals, traces
from labkit.load.arrivals import Arrivals
from labkit.load.plan import Closed, Load, Open
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from labkit.load.run import Progress, Running, start
from labkit.load.workload import Tokens, Workload

__all__ = [
    "Arrivals",
    "Closed",
    "Load",
    "LoadResult",
    "Open",
    "Progress",
    "Row",
    "Running",
    "Tokens",
    "Workload",
    "arrivals",
    "start",
    "traces",
]
