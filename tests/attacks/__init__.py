"""Submissions that want points without the work: each in one line here, what it tries in its source.

    JAILED       run in the sandbox alone, on a notebook of three answers
                 (tests/grading/unit/test_grading_attacks.py)
    CLUSTERED    run on a real cluster, on a notebook with an HPA, a load and a recording
                 (tests/grading/live/test_grading.py)

Each names the checks that its honest part may earn. The tests count them, and fail where one earns more or is
not flagged.
"""

from tests.attacks.asking import ASKED
from tests.attacks.attack import ANSWERS, RIGHT, HandIn
from tests.attacks.clustered import CLUSTERED
from tests.attacks.handed import HANDED
from tests.attacks.jailed import SANDBOXED

JAILED = {**SANDBOXED, **HANDED, **ASKED}

__all__ = ["ANSWERS", "CLUSTERED", "JAILED", "RIGHT", "HandIn"]
