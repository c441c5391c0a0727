"""What all tests share."""

import signal

import pytest
from hypothesis import settings

pytest_plugins = ["tests.clusters", "tests.on_kind"]
# The same examples each time, however long they take: a failure comes again, on a slow machine, too.
settings.register_profile("tests", derandomize=True, deadline=None, database=None)
settings.load_profile("tests")
MARKS = {"live": "embedded", "kind": "kind"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a test needs follows from its folder."""
    for item in items:
        if mark := MARKS.get(item.path.parent.name):
            item.add_marker(mark)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Some tests press Ctrl-C. A script's background job is deaf to it, and so would be its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
