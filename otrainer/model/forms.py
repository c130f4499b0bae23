"""The parts that both ways of writing a model share: `inputs` and `return`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from otrainer.errors import ConfigPath, nearest
from otrainer.model.ir import Returns
from otrainer.model.names import check_name

if TYPE_CHECKING:
    from otrainer.model.section import Report

RETURNS: tuple[Returns, ...] = get_args(Returns)


def read_inputs(value: object, path: ConfigPath, report: Report) -> tuple[str, ...]:
    """Return the names of a model's inputs, at least one, each once."""
    names = report.sequence(value, path, what="`inputs`", hint=f"Write `[{value}]`." if isinstance(value, str) else "")
    if isinstance(value, list | tuple) and not names:
        report.add("A model needs at least one input.", path, title="missing input", hint="Write `inputs: [x]`.")
    for index, name in enumerate(names):
        wrong = list(check_name(name, "input", (*path, index)))
        report.extend(wrong)
        if not wrong and name in names[:index]:
            place, hint = (*path, index), "Give each input a name of its own."
            report.add(f"The input `{name}` is named twice.", place, title="duplicate name", hint=hint)
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def read_return(section: Mapping[Any, Any], outputs: int, path: ConfigPath, report: Report) -> Returns | None:
    """Return what `return` asks for, or None where it is left out or wrong."""
    if section.get("return") is None:
        return None
    asked = section["return"]
    found = next((form for form in RETURNS if form == asked), None)
    if found is None:
        near, hint = nearest(str(asked), RETURNS), f"It may be {', '.join(RETURNS)}."
        report.add(f"There is no way to return `{asked}`.", path, title="unknown value", near=near, hint=hint)
    elif found == "single" and outputs > 1:
        message = f"`return: single` cannot hold {outputs} outputs."
        report.add(message, path, title="wrong value", hint="Write `tuple` or `dict`, or name one output.")
        return None
    return found
