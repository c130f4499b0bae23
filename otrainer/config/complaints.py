"""What is wrong with the nodes of one file, noted while they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from otrainer.config.nodes import MAX_DEPTH, MAX_NODES, Node, Scalar, key_place_of, kind_of
from otrainer.config.scalars import CORE
from otrainer.errors import ConfigError, ConfigPath, Finding, SourceLocation, nearest

if TYPE_CHECKING:
    from otrainer.config.text import TextFile


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


class Complaints:
    """Findings of one file, each at the innermost collection that is open."""

    def __init__(self, file: TextFile) -> None:
        self.file = file
        self.stack = [Frame(False, 0, None)]
        self.findings: list[Finding] = []

    def path(self) -> ConfigPath:
        """The config path of the value that is being read."""
        steps: list[str | int] = []
        for frame in self.stack[1:]:
            if not frame.is_mapping:
                steps.append(len(frame.items))
            elif not frame.wants_key and frame.key is not None:
                steps.append(frame.key)
        return tuple(steps)

    def note(self, title: str, message: str, at: int, hint: str) -> None:
        self.findings.append(Finding(message, title, self.path(), self.file.place(at), hint=hint))

    def stop(self, title: str, message: str, at: int, hint: str, suggestions: tuple[str, ...] = ()) -> NoReturn:
        """Raise all findings and a last one, after which nothing can be read."""
        last = Finding(message, title, self.path(), self.file.place(at), suggestions=suggestions, hint=hint)
        raise ConfigError.of([*self.findings, last])

    def unusable_key(self, text: str, key: Scalar) -> None:
        message = f"The key `{text}` is {kind_of(key)}; keys are strings." if text else "A key is missing before `:`."
        hint = f"Put it in quotes: `{text!r}:`." if text else "Write the key, or quote an empty one: `'':`."
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
        message, path = f"`{key}` is given twice in the same mapping.", (*self.path(), key)
        hint = "Keep one of the two."
        self.findings.append(Finding(message, "duplicate key", path, self.file.place(at), True, (), hint, related))

    def unknown_tag(self, tag: str, at: int) -> None:
        message = f"The tag `{tag.replace(CORE, '!!')}` has no meaning here: a config is plain data."
        core = ", ".join(f"`!!{name}`" for name in ("str", "int", "float", "bool", "null", "map", "seq"))
        self.note("unknown tag", message, at, f"Leave it out, or use one of {core} where it fits.")

    def unfit_tag(self, name: str, text: str, at: int) -> None:
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        hint = f"Write a value that `!!{name}` admits, or leave the tag out."
        self.note("value does not fit its tag", f"`{shown}` is no `!!{name}`.", at, hint)

    def long_number(self, text: str, at: int) -> None:
        message = f"A number of {len(text)} characters is too long to be read."
        self.note("number too long", message, at, "Put it in quotes to keep it as text.")

    def second_document(self, at: int) -> NoReturn:
        hint = "Split the file, and list one part under the other's `defaults:`."
        self.stop("more than one document", "A second document starts here.", at, hint)

    def unknown_alias(self, name: str, anchors: dict[str, Node | None], at: int) -> NoReturn:
        if name in anchors:
            message, hint = f"`*{name}` lies inside `&{name}` itself.", "Refer to a value that ends before this line."
            self.stop("recursive alias", message, at, hint)
        known = tuple(f"*{anchor}" for anchor in nearest(name, anchors))
        message = f"No `&{name}` comes before `*{name}`."
        self.stop("unknown alias", message, at, "Quote it if it is meant as text.", known)

    def check_depth(self, depth: int, at: int) -> None:
        if depth > MAX_DEPTH:
            message = f"Collections are nested more than {MAX_DEPTH} deep."
            self.stop("nested too deep", message, at, "Flatten this part of the config.")

    def check_size(self, size: int, at: int) -> None:
        if size > MAX_NODES:
            message = f"With its aliases expanded this collection holds more than {MAX_NODES:,} nodes."
            self.stop("config too large", message, at, "Keep bulk data in a file of its own.")
