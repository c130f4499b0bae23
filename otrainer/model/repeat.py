"""`{repeat: 6, of: ...}`: the same layers, or steps of a graph, several times in a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from otrainer.config.kinds import kind_of
from otrainer.config.limits import limits_in_force

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otrainer.errors import ConfigPath
    from otrainer.model.section import Report

KEYS = ("repeat", "of")


@dataclass(frozen=True, slots=True)
class Turn:
    """One of the `count` times that something is written out, from 0, and where it is written."""

    number: int
    count: int
    path: ConfigPath


Once: TypeAlias = "tuple[Any, ConfigPath, Turn | None]"


def written_out(entries: Sequence[Any], path: ConfigPath, report: Report, *, what: str, hint: str) -> Iterator[Once]:
    """Yield each entry with the place that writes it, those under `of` in as many turns as their `repeat` says."""
    for index, entry in enumerate(entries):
        place = (*path, index)
        if repeats(entry):
            yield from repeated(entry, place, report, what=what, hint=hint)
        else:
            yield entry, place, None


def repeats(entry: object) -> bool:
    return isinstance(entry, Mapping) and "repeat" in entry


def repeated(
    section: Mapping[Any, Any], place: ConfigPath, report: Report, *, what: str, hint: str, single: bool = False
) -> Iterator[Once]:
    """Yield what is under `of` in each turn: one entry, or a list of them unless it is to be a `single` one."""
    report.keys(section, KEYS, place, what=f"A {what} that repeats")
    report.required(section, ("of",), place, what=f"A {what} that repeats")
    of, inner = section.get("of"), (*place, "of")
    once = [(of, inner)] if "of" in section else []
    if isinstance(of, list | tuple) and not single:
        once = [(entry, (*inner, index)) for index, entry in enumerate(of)]
        if not once:
            report.add(f"There is no {what} to repeat.", inner, title="nothing to repeat", hint=hint)
    for entry, there in once:
        if repeats(entry):
            message = "What repeats holds nothing that repeats."
            place, write = (*there, "repeat"), f"Write the inner {what}s out."
            report.add(message, place, title="wrong value", key=True, hint=write)
            return
    most = limits_in_force().nodes // max(len(once), 1)
    count = times_of(section["repeat"], most, (*place, "repeat"), report, hint=hint)
    for number in range(count):
        turn = Turn(number, count, place)
        yield from ((entry, there, turn) for entry, there in once)


def times_of(times: object, most: int, place: ConfigPath, report: Report, *, hint: str) -> int:
    """Return how often it repeats, once where that is wrong."""
    if not isinstance(times, int) or isinstance(times, bool):
        report.add(f"`repeat` is a whole number, not {kind_of(times)}.", place, title="wrong type", hint=hint)
    elif not 1 <= times <= most:
        report.add(f"`repeat` is from 1 to {most:,}, not {times:,}.", place, title="wrong value", hint=hint)
    else:
        return times
    return 1
