"""What a spec looks like in plain data: its reserved keys, its arguments, and where each one is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from otrainer.config.kinds import kind_of
from otrainer.config.secrets import holds_secret, out_of_place
from otrainer.errors import ConfigPath, Finding, nearest

RESERVED = ("_type_", "_target_", "_args_", "_kwargs_")


@dataclass(frozen=True, slots=True)
class Spec:
    """A call in plain data: `key` as the registry (`_type_`) or Python (`_target_`) knows it, and its arguments."""

    form: str
    key: str
    args: list[Any]
    kwargs: dict[Any, Any]
    path: ConfigPath
    places: dict[Any, ConfigPath]

    @property
    def head(self) -> ConfigPath:
        """Where the key itself is written."""
        return (*self.path, self.form)

    def args_with_places(self) -> Iterator[tuple[Any, ConfigPath]]:
        for index, item in enumerate(self.args):
            yield item, (*self.path, "_args_", index)

    def arguments(self) -> Iterator[tuple[Any, ConfigPath]]:
        """Yield every argument and where it is written."""
        yield from self.args_with_places()
        for key, item in self.kwargs.items():
            yield item, self.places[key]


def is_spec(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether a value asks for something to be built."""
    return isinstance(value, Mapping) and ("_type_" in value or "_target_" in value)


def is_reserved(key: object) -> TypeGuard[str]:
    """Return whether a key has the form `_name_`, which belongs to otrainer."""
    return isinstance(key, str) and len(key) > 2 and key.startswith("_") and key.endswith("_") and key.strip("_") != ""


def read_spec(value: Mapping[Any, Any], path: ConfigPath, *, strict: bool) -> Spec:
    """Return the spec that `value` writes; parts of a wrong shape count as empty (see `shape_findings`)."""
    form = "_type_" if "_type_" in value else "_target_"
    args, extra = value.get("_args_"), value.get("_kwargs_")
    nested: Mapping[Any, Any] = extra if isinstance(extra, Mapping) else {}
    inline = {key: item for key, item in value.items() if key not in RESERVED and not (strict and is_reserved(key))}
    places = {key: (*path, key) for key in inline} | {key: (*path, "_kwargs_", key) for key in nested}
    positional = list(args) if isinstance(args, list | tuple) else []
    return Spec(form, str(value[form]), positional, {**inline, **nested}, path, places)


def reserved_keys(value: Mapping[Any, Any], path: ConfigPath, *, strict: bool) -> Iterator[Finding]:
    """Yield findings on keys that only look like otrainer's own, and on arguments of no spec, if `strict`."""
    known = RESERVED if is_spec(value) else ("_type_", "_target_")
    unknown = [key for key in value if is_reserved(key) and key not in RESERVED]
    for key in unknown if strict else ():
        message = f"There is no reserved key `{key}`."
        hint = f"Keys of the form `_name_` are otrainer's own: {', '.join(RESERVED)}."
        yield Finding(
            message, "unknown reserved key", (*path, key), on_key=True, suggestions=nearest(key, RESERVED), hint=hint
        )
    for key in value if strict and not unknown else ():
        if key in RESERVED and key not in known and not is_spec(value):
            message = f"`{key}` needs a `_type_` beside it."
            hint = "Add `_type_: KEY`, or take the underscores off if it is a key of your own."
            yield Finding(message, "incomplete spec", (*path, key), on_key=True, hint=hint)


def shape_findings(value: Mapping[Any, Any], path: ConfigPath) -> Iterator[Finding]:
    """Yield findings on the form of a spec, whatever it names."""
    if "_type_" in value and "_target_" in value:
        message, place = "`_type_` and `_target_` exclude each other.", (*path, "_target_")
        yield Finding(message, "two names for one", place, on_key=True, hint="Keep the one that is meant.")
    for form in ("_type_", "_target_"):
        if form in value and not (isinstance(value[form], str) and value[form]):
            hint = "Write a registered key." if form == "_type_" else "Write `package.module.attr`."
            yield Finding(f"`{form}` is a name, not {kind_of(value[form])}.", "wrong type", (*path, form), hint=hint)
        elif holds_secret(value.get(form)):
            yield out_of_place((*path, form), why="it names what is built")
    if not isinstance(value.get("_args_", []), list | tuple):
        message = f"`_args_` is a list, not {kind_of(value['_args_'])}."
        yield Finding(message, "wrong type", (*path, "_args_"), hint="Write `_args_: [...]`.")
    extra = value.get("_kwargs_", {})
    if not isinstance(extra, Mapping):
        message = f"`_kwargs_` is a mapping, not {kind_of(extra)}."
        yield Finding(message, "wrong type", (*path, "_kwargs_"), hint="Write `_kwargs_: {name: value}`.")
        return
    for key in extra:
        if key in value and key not in RESERVED:
            message = f"`{key}` is given twice: here and beside `_type_`."
            place = (*path, "_kwargs_", key)
            yield Finding(message, "argument given twice", place, on_key=True, hint="Keep one of the two.")
