"""docs/kubectl.md shows the habits that a test types, all of them and no others."""

from __future__ import annotations

from tests.cluster.live.habits import page


def test_the_page_shows_what_is_typed() -> None:
    assert page.PAGE.read_text() == page.text(), "write it anew: python -m tests.cluster.live.habits.page"
