"""Label selectors select what Kubernetes' own do."""

from __future__ import annotations

import pytest

from localcluster.api import selectors


@pytest.mark.parametrize(
    ("selector", "labels", "found"),
    [
        ("", {}, True),
        ("app=chat", {"app": "chat", "track": "stable"}, True),
        ("app==chat", {"app": "other"}, False),
        ("app=", {"app": ""}, True),
        ("app=", {}, False),
        ("track in (a, b)", {"track": "b"}, True),
        ("track in (a,b)", {}, False),
        ("track notin (a)", {}, True),
        ("track!=a", {"track": "a"}, False),
        ("track", {"track": ""}, True),
        ("!track", {"track": ""}, False),
        ("example.com/size>3", {"example.com/size": "10"}, True),
        ("size<3", {"size": "many"}, False),
        ("app=chat,!old,track in (a,b)", {"app": "chat", "track": "a"}, True),
        ("app=chat,!old,track in (a,b)", {"app": "chat", "track": "a", "old": "1"}, False),
    ],
)
def test_terms(selector: str, labels: dict[str, str], *, found: bool) -> None:
    assert selectors.matches(selectors.parse(selector), labels) is found


def test_an_object_says_the_same_as_its_text() -> None:
    terms = selectors.of(
        {
            "matchLabels": {"app": "chat"},
            "matchExpressions": [
                {"key": "track", "operator": "In", "values": ["b", "a"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selectors.text(terms) == "app=chat,!old,track in (a,b)"
    assert selectors.parse(selectors.text(terms)) == terms


@pytest.mark.parametrize("text", ["app in", "a=b=c", "=x", "app in (a"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no label selector"):
        selectors.parse(text)
