"""What is said of a value that cannot be what its parameter takes: what was expected, and what to write instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from otrainer.config.kinds import value_or_kind
from otrainer.config.scalars import plain_value
from otrainer.config.text import shortened
from otrainer.config.to_yaml import flow_text, scalar_text
from otrainer.errors import Finding, dotted, nearest
from otrainer.registry.describe.admits import TRUTH, Misfit, admits, misfits

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.registry.describe.annotations import Values

TITLE = "wrong type"
YES = ("yes", "y", "on", "true", "1")
TRUTHS = (*YES, "no", "n", "off", "false", "0")
NOTHING = ("none", "null", "nil")
COMMA = re.compile(r"([-+]?[0-9]*),([0-9]+)")
KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
IN_WORDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "a mapping, a spec",
    "null": "null",
}
EXAMPLES = {"boolean": "true", "integer": "8", "number": "0.1", "string": '"..."', "object": "{_type_: ...}"}


def wrong_values(
    name: str, value: object, values: Values, place: ConfigPath, called: str, *, needed: bool = False
) -> Iterator[Finding]:
    """Yield a finding for each part of an argument's value that cannot be what `values` admit."""
    for misfit in misfits(value, values):
        message = f"`{dotted((name, *misfit.path))}` of `{called}` is {in_words(misfit.values)}, not {told(misfit)}."
        near = nearest(misfit.value, misfit.values["enum"]) if is_choice(misfit) else ()
        path = (*place, *misfit.path)
        before = f"{path[-1]}: " if isinstance(path[-1], str) else ""
        hint = "" if near else next_step(before, misfit, has_default=not (needed or misfit.path))
        yield Finding(message, TITLE, path, suggestions=near, hint=hint)


def is_choice(misfit: Misfit) -> bool:
    return isinstance(misfit.value, str) and all(isinstance(each, str) for each in misfit.values.get("enum", [None]))


def in_words(values: Values) -> str:
    """Return the values that are admitted, as a reader calls them."""
    if "type" not in values:
        return "true or false" if values["not"]["pattern"] == TRUTH.pattern else "a number"
    if "enum" in values:
        return f"one of {', '.join(f'`{written(each)}`' for each in values['enum'])}"
    words = [part for kind in values["type"] for part in IN_WORDS[kind].split(", ")]
    if "minItems" in values:
        many = f"{values['minItems']} value{'' if values['minItems'] == 1 else 's'}"
        words = [f"a list of {many}" if each == "a list" else each for each in words]
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def example_of(values: Values) -> str:
    """Return a value of the first kind that is admitted."""
    kinds = values.get("type", ["number"])
    if "array" in kinds[:1]:
        inside = [*values.get("prefixItems", ()), values.get("items", {})]
        shown = [example_of(inside[min(index, len(inside) - 1)]) for index in range(values.get("minItems", 1))]
        return f"[{', '.join(shown)}]"
    return "..." if not values else EXAMPLES.get(kinds[0], "null")


def told(misfit: Misfit) -> str:
    value = misfit.value
    if isinstance(value, list | tuple) and "array" in misfit.values.get("type", ()):
        return f"of {len(value)}"
    if isinstance(value, bool):
        return f"`{written(value)}`"
    return f"the text `{shortened(value)}`" if isinstance(value, str) else value_or_kind(value)


def next_step(before: str, misfit: Misfit, *, has_default: bool) -> str:
    """Return what to write where a value is wrong, with the name `before` it."""
    value, kinds = misfit.value, misfit.values.get("type", ["boolean", "number"])
    if value is None and has_default:
        return f"Leave it out for its default, or write `{before}{example_of(misfit.values)}`, for example."
    meant = meant_by(value, kinds, misfit.values)
    if meant is None:
        return f"Write `{before}{example_of(misfit.values)}`, for example."
    if isinstance(value, str) and meant == value.strip() and not meant.startswith("["):
        cast = "float" if "number" in kinds else "int"
        return f"Write `{before}{meant}` without quotes, or, from the environment, with a cast: `${{env:{cast}:NAME}}`."
    return f"Write `{before}{meant}`{', with a point' if COMMA.fullmatch(str(value).strip()) else ''}."


def meant_by(value: Any, kinds: list[str], values: Values) -> str | None:
    """Return the YAML that most likely was meant; None where that is not clear."""
    if isinstance(value, str):
        return meant_by_text(value.strip(), kinds, values)
    if isinstance(value, bool | int | float):
        text = scalar_text(value)
        if isinstance(value, bool) and {"integer", "number"} & set(kinds):
            return str(int(value))
        if "boolean" in kinds and value in (0, 1):
            return "true" if value else "false"
        if "string" in kinds and "enum" not in values:
            return f'"{text}"'
        return f"[{text}]" if admits([value], values) else None
    if isinstance(value, list | tuple) and len(value) == 1 and admits(value[0], values):
        return flow_text(value[0])
    return None


def meant_by_text(text: str, kinds: list[str], values: Values) -> str | None:
    if text.lower() in NOTHING and "null" in kinds:
        return "null"
    if "boolean" in kinds and text.lower() in TRUTHS:
        return "true" if text.lower() in YES else "false"
    if match := COMMA.fullmatch(text):
        text = f"{match[1]}.{match[2]}"
    if text[:1] in ("(", "[") and "array" in kinds:
        return f"[{text.strip('()[] ')}]"
    number = number_in(text)
    for written, read in (
        (text, number),
        (f"[{scalar_text(text) if number is None else text}]", [text if number is None else number]),
    ):
        if not isinstance(read, str) and read is not None and admits(read, values):
            return written
    return f"{{_type_: {text}}}" if "object" in kinds and KEY.fullmatch(text) else None


def number_in(text: str) -> int | float | None:
    try:
        value = plain_value(text)
    except ValueError:  # one that is longer or larger than any that is read
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
