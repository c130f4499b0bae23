"""The form of `{_merge_: MODE, _value_: V}` and of the lists that `keyed` matches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otrainer.config.nodes import Mapping, Node, Plain, Scalar, Sequence, key_place_of, kind_of, place_of
from otrainer.config.scalars import as_text
from otrainer.config.text import shortened
from otrainer.errors import ConfigPath, Finding, SourceLocation, nearest

if TYPE_CHECKING:
    from otrainer.config.findings import Findings

LIST_MODES = ("append", "prepend", "keyed")
MODES = ("replace", *LIST_MODES)
FORM = "A container is `{_merge_: MODE, _value_: V}`, with `key: FIELD` beside them where the mode is `keyed`."


@dataclass(frozen=True, slots=True)
class Container:
    """A well-formed container; `field` is empty unless the mode is `keyed`."""

    mode: str
    value: Node
    field: str


def read_container(over: Mapping, path: ConfigPath) -> Container | Finding:
    """Return the container that `over` spells, or the first mistake in it."""
    items = over.items
    if "_merge_" not in items:
        message = "`_value_` stands without `_merge_`."
        return at_key(over, "_value_", message, path, "missing `_merge_`", hint=FORM)
    mode = items["_merge_"].value if isinstance(items["_merge_"], Scalar) else None
    if not isinstance(mode, str) or mode not in MODES:
        return unknown_mode(items["_merge_"], mode, path)
    allowed = ("_merge_", "_value_", "key") if mode == "keyed" else ("_merge_", "_value_")
    for name in items:
        if name not in allowed:
            return stray_key(over, name, mode, allowed, path)
    if "_value_" not in items:
        message = f"`_merge_: {mode}` has no `_value_`."
        return at_key(over, "_merge_", message, path, "missing `_value_`", hint=FORM)
    value = items["_value_"]
    if mode != "replace" and not isinstance(value, Sequence):
        message = f"The `_value_` of `_merge_: {mode}` is {kind_of(value)}, not a list."
        return Finding(
            message,
            "value is no list",
            (*path, "_value_"),
            location=place_of(value),
            hint="Write it as a list: `[...]`.",
        )
    return Container(mode, value, "") if mode != "keyed" else keyed(over, value, path)


def keyed(over: Mapping, value: Node, path: ConfigPath) -> Container | Finding:
    field = over.items.get("key")
    if isinstance(field, Scalar) and isinstance(field.value, str):
        return Container("keyed", value, field.value)
    if field is None:
        hint = "Add `key: FIELD`, the field by which the elements are matched."
        return at_key(over, "_merge_", "`_merge_: keyed` has no `key`.", path, "missing `key`", hint=hint)
    message = f"`key` is the name of a field, not {kind_of(field)}."
    return Finding(message, "key is no name", (*path, "key"), location=place_of(field), hint="Write `key: name`.")


def unknown_mode(node: Node, mode: object, path: ConfigPath) -> Finding:
    shown = f"`{shortened(mode)}`" if isinstance(mode, str) else kind_of(node)
    near = nearest(mode, MODES) if isinstance(mode, str) else ()
    hint = "The modes are `replace`, `append`, `prepend` and `keyed`."
    message = (
        f"There is no way to merge called {shown}." if isinstance(mode, str) else f"`_merge_` is {shown}, not a mode."
    )
    return Finding(
        message, "unknown merge mode", (*path, "_merge_"), location=place_of(node), suggestions=near, hint=hint
    )


def stray_key(over: Mapping, name: str, mode: str, allowed: tuple[str, ...], path: ConfigPath) -> Finding:
    if name == "key":
        message, hint = f"`key` has no meaning under `_merge_: {mode}`.", "Leave it out, or write `_merge_: keyed`."
        return at_key(over, name, message, path, "`key` outside `keyed`", hint=hint)
    message = f"`{shortened(name)}` stands in a `_merge_` container, which takes the place of a value."
    hint = f"Put it inside `_value_`, or leave it out. {FORM}"
    missing = [known for known in allowed if known not in over.items]
    return at_key(
        over, name, message, path, "unknown key in a container", suggestions=nearest(name, missing), hint=hint
    )


def at_key(
    over: Mapping,
    name: str,
    message: str,
    path: ConfigPath,
    title: str,
    *,
    suggestions: tuple[str, ...] = (),
    hint: str = "",
) -> Finding:
    """Return a finding at one of the container's keys."""
    place = key_place_of(over.items[name])
    return Finding(message, title, (*path, name), location=place, on_key=True, suggestions=suggestions, hint=hint)


def elements_by_key(elements: list[Node], field: str, path: ConfigPath, findings: Findings) -> dict[object, Node]:
    """Index the elements of a list by the value of `field`; those without a usable one are reported and left out."""
    found: dict[object, Node] = {}
    for index, element in enumerate(elements):
        value = element.items.get(field) if isinstance(element, Mapping) else None
        if not isinstance(element, Mapping) or not isinstance(value, Scalar):
            findings.append(no_field(element, field, value, (*path, index), findings))
            continue
        identity = identity_of(value.value)
        if identity in found:
            findings.append(doubled(value, field, found[identity], (*path, index, field)))
        else:
            found[identity] = element
    return found


def identity_of(value: Plain) -> tuple[type, Plain]:
    """Return what two elements with the same value of the field have in common.

    An integer counts by its digits, whose hash is another in each process: the hashes of integers are known, and a list
    of those that share one would take the square of its length.
    """
    return type(value), f"{value:x}" if type(value) is int else value


def no_field(element: Node, field: str, value: Node | None, path: ConfigPath, findings: Findings) -> Finding:
    if not isinstance(element, Mapping):
        message = f"Elements that are matched by `{field}` are mappings; this one is {kind_of(element)}."
    elif value is None:
        message = f"This element has no `{field}`, by which the list is matched."
    else:
        message = f"`{field}` is {kind_of(value)}; lists are matched by a plain value."
    near = findings.near(field, element.items) if isinstance(element, Mapping) and value is None else ()
    place = place_of(value or element)
    return Finding(
        message, "element without its key", path, location=place, suggestions=near, hint=f"Give it a `{field}: VALUE`."
    )


def doubled(value: Scalar, field: str, first: Node, path: ConfigPath) -> Finding:
    related: tuple[tuple[str, SourceLocation], ...] = ()
    if isinstance(first, Mapping) and (place := place_of(first.items[field])):
        related = (("first given here", place),)
    message = f"`{field}: {shortened(as_text(value.value))}` is given twice in the same list."
    hint = "Give each element a value of its own."
    return Finding(message, "element given twice", path, location=place_of(value), hint=hint, related=related)
