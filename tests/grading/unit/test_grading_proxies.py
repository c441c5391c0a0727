"""What a student's kernel has of an object that stays with the grader: its words, and what a cell reads."""

from __future__ import annotations

from typing import Any, cast

import pytest

from labkit_grading.kernel.inside import Remote
from labkit_grading.verbs.objects import READ

NAMES = sorted({name for names in READ.values() for name in names})


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_the_proxys_own_hides_one_of_the_object(name: str) -> None:
    """A layer's `number` was the proxy's: a right answer to 01.layers failed."""
    value = object()
    remote = Remote(cast("Any", None), 7, "a layer", {name: value})
    assert getattr(remote, name) is value
