"""Collect what is wrong with the nodes of one file while they are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

from otrainer.config.findings import beyond
from otrainer.config.limits import Limits, or_raise
from otrainer.config.nodes import Node, Scalar, key_place_of, kind_of
from otrainer.config.scalars import CORE, MAX_KEY
from otrainer.config.text import shortened
from otrainer.errors import ConfigError, ConfigPath, Finding, SourceLocation, nearest

if TYPE_CHECKING:
    from otrainer.config.text import TextFile


# Of a number with a decimal comma, which in braces becomes a value and a key.
BEFORE_COMMA = re.compile(r"(?<![\w.])([-+]?[0-9]+),$")
FRACTION = re.compile(r"[0-9]+([eE][-+]?[0-9]+)?")


class Frame:
    """A collection whose end has not been read; a `key` of None leaves the next value out."""

    __slots__ = ("anchor", "at", "is_mapping", "items", "key", "key_at", "wants_key")

    def __init__(self, is_mapping: bool, at: int, anchor: str | None) -> None:
        self.is_mapping = self.wants_key = is_mapping
        self.items: Any = {} if is_mapping else []
        self.at = at
        self.anchor = anchor
        self.key: str | None = None
        self.key_at = -1


class ParseErrors:
    """Findings of one file, each at the innermost collection that is open."""

    def __init__(self, file: TextFile, limits: Limits) -> None:
        self.file = file
        self.limits = limits
        self.stack = [Frame(False, 0, None)]
        self.findings: list[Finding] = []

    def path(self) -> ConfigPath:
        """Return the config path of the value that is being read."""
        steps: list[str | int] = []
        for frame in self.stack[1:]:
            if not frame.is_mapping:
                steps.append(len(frame.items))
            elif not frame.wants_key and frame.key is not None:
                steps.append(frame.key)
        return tuple(steps)

    def note(self, title: str, message: str, at: int, hint: str) -> None:
        self.add(Finding(message, title, self.path(), location=self.file.place(at), hint=hint))

    def add(self, finding: Finding) -> None:
        if len(self.findings) == self.limits.mistakes:
            last = beyond(finding, "More mistakes may follow from here on, where reading stops.")
            raise ConfigError.of([*self.findings, last])
        self.findings.append(finding)

    def stop(self, title: str, message: str, at: int, hint: str, suggestions: tuple[str, ...] = ()) -> NoReturn:
        """Raise all findings and a last one, after which nothing can be read."""
        last = Finding(message, title, self.path(), location=self.file.place(at), suggestions=suggestions, hint=hint)
        raise ConfigError.of([*self.findings, last])

    def unusable_key(self, text: str, key: Scalar) -> None:
        shown, text_before = shortened(text), self.file.text[max(0, key.at - 40) : key.at]
        if (whole := BEFORE_COMMA.search(text_before)) and FRACTION.fullmatch(text):
            at = key.at - len(whole[0])
            message = f"`{whole[0]}{shown}` is no number here: the comma ends the value before it."
            self.note("decimal comma", message, at, f"Write `{whole[1]}.{shown}`, with a point.")
            return
        message = f"The key `{shown}` is {kind_of(key)}; keys are strings." if text else "A key is missing before `:`."
        hint = f"Put it in quotes: `{shown!r}:`." if text else "Write the key, or quote an empty one: `'':`."
        self.note("key is no string", message, key.at, hint)

    def collection_as_key(self, at: int) -> None:
        message = "A mapping or a list stands where a key is expected."
        self.note("key is no string", message, at, "Write keys as plain words: `name: value`.")

    def merge_key(self, at: int) -> None:
        hint = "Use `_template_: NAME` for a tree under `templates:`, or list another file under `defaults:`."
        self.note("merge key", "`<<` does not merge here.", at, hint)

    def duplicate(self, key: str, first: Node, at: int) -> None:
        place = key_place_of(first)
        related: tuple[tuple[str, SourceLocation], ...] = (("first given here", place),) if place else ()
        message, path = f"`{shortened(key)}` is given twice in the same mapping.", (*self.path(), key)
        hint = "Keep one of the two."
        self.add(
            Finding(
                message,
                "duplicate key",
                path,
                location=self.file.place(at),
                on_key=True,
                suggestions=(),
                hint=hint,
                related=related,
            )
        )

    def long_key(self, text: str, at: int) -> None:
        message = f"A key of {len(text):,} characters is longer than {MAX_KEY:,}."
        self.note("key too long", message, at, "Make the long text a value, under a short key.")

    def unknown_tag(self, tag: str, at: int) -> None:
        message = f"The tag `{shortened(tag.replace(CORE, '!!'))}` has no meaning here: a config is plain data."
        core = ", ".join(f"`!!{name}`" for name in ("str", "int", "float", "bool", "null", "map", "seq"))
        self.note("unknown tag", message, at, f"Leave it out, or use one of {core} where it fits.")

    def unfit_tag(self, name: str, text: str, at: int) -> None:
        hint = f"Write a value that `!!{name}` admits, or leave the tag out."
        self.note("value does not fit its tag", f"`{shortened(text, 40)}` is no `!!{name}`.", at, hint)

    def long_number(self, text: str, at: int) -> None:
        message = f"A number of {len(text)} characters is too long to be read."
        self.note("number too long", message, at, "Put it in quotes to keep it as text.")

    def large_number(self, text: str, at: int) -> None:
        message = f"`{shortened(text, 40)}` is a number too large for a float."
        hint = "Put it in quotes if it is text, such as a commit; infinity is `.inf`."
        self.note("number too large", message, at, hint)

    def half_a_pair(self, at: int) -> None:
        """Report half of a surrogate pair, which PyYAML's own parser admits and libyaml refuses."""
        hint = "Write the character itself, or `\\U` with its eight digits."
        self.note("invalid YAML", "This text holds an escape for half a character.", at, hint)

    def check_document(self, event: Any, *, is_second: bool) -> None:
        at: int = event.start_mark.index
        if is_second:
            hint = "Split the file, and list one part under the other's `defaults:`."
            self.stop("more than one document", "A second document starts here.", at, hint)
        if event.version not in (None, (1, 1), (1, 2)):
            self.stop("invalid YAML", "This version of YAML is not known here.", at, "Leave the directive out.")

    def unknown_alias(self, name: str, anchors: dict[str, Node | None], at: int) -> NoReturn:
        shown = shortened(name)
        if name in anchors:
            message, hint = f"`*{shown}` lies inside `&{shown}` itself.", "Refer to a value that ends before this line."
            self.stop("recursive alias", message, at, hint)
        known = tuple(f"*{anchor}" for anchor in nearest(name, anchors))
        message = f"No `&{shown}` comes before `*{shown}`."
        self.stop("unknown alias", message, at, "Quote it if it is meant as text.", known)

    def check_depth(self, depth: int, at: int) -> None:
        if depth > self.limits.depth:
            message = f"Collections are nested more than {self.limits.depth} deep."
            self.stop("nested too deep", message, at, or_raise("Flatten this part of the config.", "depth"))

    def check_size(self, size: int, at: int) -> None:
        if size > self.limits.nodes:
            message = f"With its aliases expanded this collection holds more than {self.limits.nodes:,} nodes."
            self.too_many("nodes", message, at)

    def check_length(self, length: int, at: int) -> None:
        if length > self.limits.text:
            message = f"With its aliases expanded this collection holds more than {self.limits.text:,} characters."
            self.too_many("text", message, at)

    def too_many(self, limit: str, message: str, at: int) -> NoReturn:
        self.stop("config too large", message, at, or_raise("Keep bulk data in a file of its own.", limit))
