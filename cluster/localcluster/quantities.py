"""Kubernetes' quantities ("250m", "16Gi") as exact numbers."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{s: Decimal(1000) ** (i + 1) for i, s in enumerate("kMGTPE")},
    **{f"{s}i": Decimal(1024) ** (i + 1) for i, s in enumerate("KMGTPE")},
}


def amount(quantity: str | float) -> Decimal:
    """The value of a quantity; raises ValueError if it is not valid.

    >>> int(amount("16Gi"))
    17179869184
    """
    text = str(quantity).strip()
    number = text.rstrip("numkMGTPEKi")
    try:
        return Decimal(number) * _SUFFIXES[text[len(number) :]]
    except (InvalidOperation, KeyError) as error:
        raise ValueError(f"{quantity!r} is not a quantity") from error
