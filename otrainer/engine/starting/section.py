"""The section `weights` of a config: which files a model starts from, and which of their tensors it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from otrainer.engine.matching import REGULAR, flaws_of_pattern, listed
from otrainer.errors import ConfigPath, Finding, nearest

KEYS = ("from", "only", "rename", "strict")
EXAMPLE = "Write `weights: {from: PATH}`, or a list of such mappings."


class Source(NamedTuple):
    """A file of weights, and what is taken of it.

    `only` are patterns of names of the model, all where there are none; `rename` are pairs of a name, a dotted prefix
    or a `re:` pattern of names in the file, and what stands in its place; `path` is its place in the config.
    """

    file: str
    only: tuple[str, ...]
    rename: tuple[tuple[str, str], ...]
    strict: bool
    path: ConfigPath


def sources_in(config: Mapping[str, Any] | None) -> list[Source]:
    """Return the sources of a checked config, in their order; none where it has no such section."""
    return [
        Source(
            file=each["from"],
            only=tuple(listed(each.get("only") or ())),
            rename=tuple((each.get("rename") or {}).items()),
            strict=each.get("strict") is not False,
            path=path,
        )
        for each, path in placed((config or {}).get("weights"))
    ]


def placed(section: Any) -> list[tuple[Any, ConfigPath]]:
    """Return what a section lists, or its only mapping, each with its place."""
    if section is None:
        return []
    if isinstance(section, list):
        return [(each, ("weights", index)) for index, each in enumerate(section)]
    return [(section, ("weights",))]


def check_section(section: Any) -> Iterator[Finding]:
    """Yield everything that is wrong with the section itself; the files are not looked at."""
    for each, path in placed(section):
        if not isinstance(each, Mapping):
            message = f"`weights` takes a mapping, not {each!r}."
            yield Finding(message, "not a mapping", path, hint=EXAMPLE)
            continue
        for key in each:
            if key not in KEYS:
                near = nearest(str(key), KEYS)
                hint = "" if near else f"It has {', '.join(f'`{known}`' for known in KEYS)}."
                message = f"`weights` has no key `{key}`."
                yield Finding(message, "unknown key", (*path, key), on_key=True, suggestions=near, hint=hint)
        yield from check_from(each.get("from"), path)
        for pattern in listed(each.get("only") or ()):
            yield from flaws_of_pattern(pattern, (*path, "only"))
        yield from check_rename(each.get("rename"), (*path, "rename"))
        if not isinstance(each.get("strict"), bool | None):
            message = f"`strict` is true or false, not {each['strict']!r}."
            hint = "Write `strict: false` to take what fits, and be told what does not."
            yield Finding(message, "wrong value", (*path, "strict"), hint=hint)


def check_from(file: Any, path: ConfigPath) -> Iterator[Finding]:
    if file is None:
        yield Finding("`weights` needs `from`: the path of a file.", "missing key", path, hint=EXAMPLE)
    elif not isinstance(file, str) or not file.strip():
        message = f"`from` is the path of a file, not {file!r}."
        yield Finding(message, "wrong value", (*path, "from"), hint=EXAMPLE)


def check_rename(rename: Any, path: ConfigPath) -> Iterator[Finding]:
    if rename is None:
        return
    if not isinstance(rename, Mapping):
        hint = "Write `rename: {old: new}`, with a name or a dotted prefix of the file on the left."
        yield Finding(f"`rename` is a mapping, not {rename!r}.", "not a mapping", path, hint=hint)
        return
    for old, new in rename.items():
        if not isinstance(new, str):
            message = f"`{old}` is renamed to a text, not {new!r}."
            yield Finding(message, "wrong value", (*path, old), hint="Write `''` to leave a prefix away.")
        elif "$" in new:
            message = f"`{new}` is no name of a parameter: it has a `$`."
            hint = r"Groups of a `re:` pattern are `\1`, `\2` on the right."
            yield Finding(message, "no pattern", (*path, old), hint=hint)
        elif old.startswith(REGULAR):
            try:
                re.sub(old.removeprefix(REGULAR), new, "")  # which reads the replacement, too
            except (re.error, IndexError) as error:
                message = f"`{old}: {new}` is no regular expression and its replacement: {error}."
                yield Finding(message, "no pattern", (*path, old), hint=r"Groups are `\1`, `\2` on the right.")


def renamed(name: str, source: Source) -> str:
    """Return the name that a tensor of the file has in the model: by the first rule that matches it."""
    rule = rule_for(name, source)
    if rule is None:
        return name
    old, new = rule
    if old.startswith(REGULAR):
        return re.sub(old.removeprefix(REGULAR), new, name)
    return ".".join(part for part in (new, name[len(old) :].removeprefix(".")) if part)


def rule_for(name: str, source: Source) -> tuple[str, str] | None:
    """Return the rule by which a name of the file is renamed: the first that matches it; None where none does."""
    return next(((old, new) for old, new in source.rename if is_renamed(name, old)), None)


def is_renamed(name: str, old: str) -> bool:
    """Return whether a rule matches a name; an empty one matches all, and puts something in front."""
    if old.startswith(REGULAR):
        return re.search(old.removeprefix(REGULAR), name) is not None
    return not old or name == old or name.startswith(f"{old}.")
