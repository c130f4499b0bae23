"""`{repeat: 6, of: ...}` among layers: the same ones several times in a row, each copy with its own weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from otrainer.config.kinds import kind_of
from otrainer.config.limits import limits_in_force

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otrainer.errors import ConfigPath
    from otrainer.model.section import Report

KEYS = ("repeat", "of")
EXAMPLE = "Write `{repeat: 6, of: {_type_: ...}}`, or a list of layers under `of`."


def written_out(layers: Sequence[Any], path: ConfigPath, report: Report) -> Iterator[tuple[Any, ConfigPath]]:
    """Yield each layer with the place that writes it, those under `of` as often as their `repeat` says."""
    for index, layer in enumerate(layers):
        place = (*path, index)
        if isinstance(layer, Mapping) and "repeat" in layer:
            yield from repeated(layer, place, report)
        else:
            yield layer, place


def repeated(section: Mapping[Any, Any], place: ConfigPath, report: Report) -> Iterator[tuple[Any, ConfigPath]]:
    report.keys(section, KEYS, place, what="A layer that repeats")
    report.required(section, ("of",), place, what="A layer that repeats")
    of, inner = section.get("of"), (*place, "of")
    once = [(of, inner)] if "of" in section else []
    if isinstance(of, list | tuple):
        once = [(layer, (*inner, index)) for index, layer in enumerate(of)]
        if not once:
            report.add("There is no layer to repeat.", inner, title="no layer", hint=EXAMPLE)
    for layer, there in once:
        if isinstance(layer, Mapping) and "repeat" in layer:
            message = "What repeats holds nothing that repeats."
            report.add(message, (*there, "repeat"), title="wrong value", key=True, hint="Write the inner layers out.")
            return
    most = limits_in_force().nodes // max(len(once), 1)
    for _ in range(times_of(section["repeat"], most, (*place, "repeat"), report)):
        yield from once


def times_of(times: object, most: int, place: ConfigPath, report: Report) -> int:
    """Return how often it repeats, once where that is wrong."""
    if not isinstance(times, int) or isinstance(times, bool):
        report.add(f"`repeat` is a whole number, not {kind_of(times)}.", place, title="wrong type", hint=EXAMPLE)
    elif not 1 <= times <= most:
        message = f"`repeat` is from 1 to {most:,}, not {times:,}."
        report.add(message, place, title="wrong value", hint=EXAMPLE)
    else:
        return times
    return 1
