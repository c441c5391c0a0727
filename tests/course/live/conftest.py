"""Labs of these tests live apart from those of the person who runs them."""

from tests.live_names import apart

__all__ = ["apart"]
