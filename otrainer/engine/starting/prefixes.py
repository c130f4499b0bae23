"""What names of a file and of a model begin with, and the rule of `rename` by which all of them would fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set


def prefixes_of(names: Iterable[str]) -> list[str]:
    """Return names with all that they begin with, as dotted parts."""
    parts = (name.split(".") for name in names)
    return [*dict.fromkeys(".".join(each[:end]) for each in parts for end in range(1, len(each) + 1))]


def rule_that_fits(names: Sequence[str], wanted: Set[str]) -> tuple[str, str] | None:
    """Return the rule `(old, new)` for a prefix that all names have too much, or too little; None where none would do.

    Too much is what a wrapper put in front (`module`, `_orig_mod`, `net`): without it some would be the model's. Too
    little is the place of a part in the model: with it all would be, and there is one such place only.
    """
    for prefix in prefixes_of(names[:1]):
        inner = [name.removeprefix(f"{prefix}.") for name in names if name.startswith(f"{prefix}.")]
        if len(inner) == len(names) and not wanted.isdisjoint(inner):
            return prefix, ""
    ends = [name.removesuffix(f".{names[0]}") for name in wanted if name.endswith(f".{names[0]}")] if names else []
    places = [place for place in ends if all(f"{place}.{name}" in wanted for name in names)]
    return ("", places[0]) if len(places) == 1 else None
