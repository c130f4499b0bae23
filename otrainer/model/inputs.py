"""The inputs of a model: their names, and the defaults of those that may be left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from otrainer.config.kinds import kind_of
from otrainer.config.secrets import holds_secret, out_of_place
from otrainer.model.section import check_name

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.model.ir import Default
    from otrainer.model.section import Report

Input: TypeAlias = "tuple[Any, ConfigPath, tuple[Default, ...]]"

OPTIONAL = "Write an optional input as `{mask: null}`: its name, and the value where it is left out."


def read_inputs(value: object, path: ConfigPath, report: Report) -> dict[str, tuple[Default, ...]]:
    """Return a model's inputs in their order, at least one, each with its default in a tuple, empty where it needs one.

    An entry is a name, or `{name: default}` for an input that may be left out; these stand behind those that may not.
    """
    hint = (
        f"Write `[{value}]`." if isinstance(value, str) else "Write `[x, {mask: null}]`: names, or one with a default."
    )
    entries = report.sequence(value, path, what="`inputs`", hint=hint)
    if isinstance(value, list | tuple) and not entries:
        report.add("A model needs at least one input.", path, title="missing input", hint="Write `inputs: [x]`.")
    inputs: dict[str, tuple[Default, ...]] = {}
    optional: list[str] = []
    for name, place, default in named(entries, path, report):
        wrong = list(check_name(name, "input", place, on_key=bool(default)))
        report.extend(wrong)
        if not wrong and name in inputs:
            message, hint = f"The input `{name}` is named twice.", "Give each input a name of its own."
            report.add(message, place, title="duplicate name", key=bool(default), hint=hint)
        elif not wrong and optional and not default:
            message = f"The input `{name}` has no default, and stands behind `{optional[0]}`, which has one."
            report.add(message, place, title="wrong value", hint="Put the inputs that may be left out last.")
        if isinstance(name, str):
            inputs.setdefault(name, default)
            optional += [name] if default else []
    return inputs


def named(entries: Sequence[Any], path: ConfigPath, report: Report) -> Iterator[Input]:
    """Yield the name of each input, its place, and its default in a tuple, empty where it needs a value."""
    for index, entry in enumerate(entries):
        place = (*path, index)
        if not isinstance(entry, Mapping):
            yield entry, place, ()
        elif len(entry) != 1:
            report.add(f"An optional input is one name, not {len(entry)}.", place, title="wrong value", hint=OPTIONAL)
        else:
            for name, value in entry.items():
                yield name, (*place, name), (read_default(value, (*place, name), report),)


def read_default(value: Any, path: ConfigPath, report: Report) -> Default:
    """Return the value of an input that is left out; after a finding, None stands for what was wrong."""
    if isinstance(value, str) and holds_secret(value):
        report.extend([out_of_place(path, why="the model's code is written with it")])
    elif isinstance(value, str) and value.startswith("$") and not value.startswith("$$"):
        message = f"`{value}` refers to a value, and the default of an input is there before any."
        report.add(message, path, title="wrong value", hint=f"Write `${value}` for the text itself.")
    elif isinstance(value, str):
        return value.removeprefix("$") if value.startswith("$$") else value
    elif value is None or isinstance(value, bool | int | float):
        return value
    else:
        message = f"The default of an input is null, a number, true, false or a text, not {kind_of(value)}."
        report.add(message, path, title="wrong type", hint=OPTIONAL)
    return None
