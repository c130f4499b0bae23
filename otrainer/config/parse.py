"""Parse YAML text to nodes: one pass over the parser's events, without recursion."""

from __future__ import annotations

import re
from typing import Any

from otrainer.config.limits import DEFAULTS, Limits, or_raise
from otrainer.config.nodes import (
    TEXT,
    Mapping,
    Node,
    Plain,
    Scalar,
    Sequence,
    kind_of,
    mapping_of,
    place_of,
    sequence_of,
)
from otrainer.config.parse_errors import Frame, ParseErrors
from otrainer.config.scalars import CORE, MAX_KEY, NOT_PLAIN, TAGS, overflows, plain_value, tagged_value
from otrainer.config.syntax import decoded, odd_escape, refuse_directives, syntax_finding
from otrainer.config.text import TextFile
from otrainer.errors import ConfigError, SourceLocation

TIMES_SLOWER = 32
SURROGATE = re.compile("[\ud800-\udfff]")


def parse_tree(content: bytes, name: str, *, limits: Limits = DEFAULTS, pure: bool = False) -> Mapping:
    """Parse one UTF-8 document; `pure` does without libyaml.

    Raises ConfigError with all unusable keys, tags and numbers of the file, or with the first place that is not YAML
    or at which a limit is reached.
    """
    import yaml

    pure = pure or not yaml.__with_libyaml__
    if pure:
        refuse_slow(content, name, limits)
    text = decoded(content, name)
    refuse_directives(text, name)
    builder = TreeBuilder(TextFile(name, text), limits)
    try:
        parser: Any = yaml.SafeLoader(text) if pure else yaml.CSafeLoader(text)
        root = builder.build(parser.get_event)
    except yaml.YAMLError as error:
        raise ConfigError.of([*builder.notes.findings, syntax_finding(error, builder.file)]) from None
    except (ValueError, OverflowError):  # what PyYAML lets through from escapes and versions
        at = parser.get_mark().index if pure else builder.stack[-1].at
        raise ConfigError.of([*builder.notes.findings, odd_escape(builder.file, at)]) from None
    if builder.notes.findings:
        raise ConfigError.of(builder.notes.findings)
    return top_mapping(root, name)


def refuse_slow(content: bytes, name: str, limits: Limits) -> None:
    """Raise ConfigError for a file that PyYAML would take long to read by itself."""
    most = limits.file_size // TIMES_SLOWER
    if len(content) > most:
        raise ConfigError(
            f"`{name}` has more than {most:,} bytes, which is much for a PyYAML without libyaml.",
            title="file too large",
            location=SourceLocation(name, 1, 1),
            hint=or_raise("Install a PyYAML with libyaml, as its wheels are.", "file_size"),
        )


def top_mapping(root: Node | None, name: str) -> Mapping:
    """`root`, if it is what a config file holds. Raises ConfigError otherwise."""
    if isinstance(root, Mapping):
        return root
    nothing = root is None or (isinstance(root, Scalar) and root.value is None)
    what = "is empty" if nothing or root is None else f"holds {kind_of(root)} at its top"
    raise ConfigError(
        f"`{name}` {what}; a config file is a mapping of sections.",
        title="empty file" if nothing else "not a mapping",
        location=place_of(root) or SourceLocation(name, 1, 1),
        hint="Write sections such as `run:` and `model:` at the left margin.",
    )


class TreeBuilder:
    """Builds nodes from events, and notes what is wrong on the way."""

    def __init__(self, file: TextFile, limits: Limits) -> None:
        self.file = file
        self.limits = limits
        self.notes = ParseErrors(file, limits)
        self.stack = self.notes.stack
        self.anchors: dict[str, Node | None] = {}
        self.aliases = 0

    def build(self, get_event: Any) -> Node | None:
        """Build the document's root, or None where there is no document."""
        from yaml import events as kinds

        scalar_kind, alias_kind = kinds.ScalarEvent, kinds.AliasEvent
        starts = {kinds.MappingStartEvent: True, kinds.SequenceStartEvent: False}
        ends = {kinds.MappingEndEvent, kinds.SequenceEndEvent}
        stack, file = self.stack, self.file
        frame = stack[0]
        node: Node
        nodes, most = 0, self.limits.nodes
        while nodes <= most:  # a node has at most three events: its key, its start and its end
            event = get_event()
            kind = type(event)
            if kind is scalar_kind:
                text = event.value
                if event.style or event.tag is not None:
                    value = self.styled(event)
                else:
                    value = text if text[:1] not in NOT_PLAIN else self.plain(text, event.start_mark.index)
                if frame.wants_key:
                    ordinary = type(value) is str and text not in frame.items and text != "<<" and len(text) <= MAX_KEY
                    if ordinary and event.anchor is None:
                        frame.key, frame.key_at, frame.wants_key = text, event.start_mark.index, False
                    else:
                        self.take_key(frame, value, event)
                    continue
                special = TEXT if "${" in text and type(value) is str else 0
                node = Scalar(value, file, event.start_mark.index, frame.key_at, special)
                if event.anchor is not None:
                    self.anchors[event.anchor] = node
            elif kind in starts:
                frame = self.open(starts[kind], event)
                continue
            elif kind in ends:
                done = stack.pop()
                frame = stack[-1]
                node = self.close(done, frame)
                if frame.wants_key:
                    self.take_odd_key(frame, node)
                    continue
            elif kind is alias_kind:
                node = self.anchored(event).placed(Scalar(None, file, event.start_mark.index, frame.key_at))
                if frame.wants_key:
                    self.take_alias_key(frame, node, event)
                    continue
            elif kind is kinds.DocumentStartEvent:
                self.notes.check_document(event, is_second=bool(frame.items))
                continue
            elif kind is kinds.StreamEndEvent:
                return frame.items[0] if frame.items else None
            else:
                continue
            nodes += 1
            if not frame.is_mapping:
                frame.items.append(node)
            else:
                frame.wants_key = True
                if frame.key is not None:
                    frame.items[frame.key] = node
        message = f"This file holds more than {most:,} nodes."
        return self.notes.too_many("nodes", message, node.at)

    def open(self, is_mapping: bool, event: Any) -> Frame:
        """Start the collection that `event` opens."""
        if event.tag is not None and event.tag != CORE + ("map" if is_mapping else "seq"):
            self.notes.unknown_tag(event.tag, event.start_mark.index)
        frame = Frame(is_mapping, event.start_mark.index, event.anchor)
        self.notes.check_depth(len(self.stack), frame.at)
        self.stack.append(frame)
        if frame.anchor is not None:
            self.anchors[frame.anchor] = None  # known, but not complete
        return frame

    def close(self, done: Frame, parent: Frame) -> Node:
        """Make the node of a collection whose end was read."""
        make: Any = mapping_of if done.is_mapping else sequence_of
        node: Mapping | Sequence = make(done.items, self.file, done.at, parent.key_at)
        self.notes.check_depth(node.depth, done.at)
        self.notes.check_size(node.size, done.at)
        self.notes.check_length(node.length, done.at)
        if done.anchor is not None:
            self.anchors[done.anchor] = node
        return node

    def take_key(self, frame: Frame, value: Plain, event: Any) -> None:
        """Make a scalar the key of the value that comes next."""
        frame.wants_key = False
        frame.key_at = at = event.start_mark.index
        frame.key = None
        if event.anchor is not None:
            self.anchors[event.anchor] = Scalar(value, self.file, at)
        if type(value) is not str:
            self.notes.unusable_key(event.value, Scalar(value, self.file, at))
        elif value == "<<" and not event.style and event.tag is None:
            self.notes.merge_key(at)
        elif len(value) > MAX_KEY:
            self.notes.long_key(value, at)
        elif value in frame.items:
            self.notes.duplicate(value, frame.items[value], at)
        else:
            frame.key = value

    def take_alias_key(self, frame: Frame, found: Node, event: Any) -> None:
        if not isinstance(found, Scalar):
            self.take_odd_key(frame, found)
            return
        event.value, event.style, event.anchor, event.tag = str(found.value), "*", None, None
        self.take_key(frame, found.value, event)

    def take_odd_key(self, frame: Frame, key: Node) -> None:
        self.notes.collection_as_key(key.at)
        frame.wants_key, frame.key, frame.key_at = False, None, key.at

    def plain(self, text: str, at: int) -> Plain:
        try:
            return plain_value(text)
        except ValueError:
            (self.notes.large_number if overflows(text) else self.notes.long_number)(text, at)
            return text

    def styled(self, event: Any) -> Plain:
        """Return the value of a scalar with quotes, a block style or a tag."""
        text: str = event.value
        if not text.isascii() and SURROGATE.search(text):
            self.notes.half_a_pair(event.start_mark.index)
        if event.tag is None:
            return text
        name = event.tag.removeprefix(CORE)
        if name == event.tag or name not in TAGS:
            self.notes.unknown_tag(event.tag, event.start_mark.index)
            return text
        try:
            return tagged_value(name, text)
        except ValueError:
            at = event.start_mark.index
            if name == "float" and overflows(text):
                self.notes.large_number(text, at)
            else:
                self.notes.unfit_tag(name, text, at)
            return text

    def anchored(self, event: Any) -> Node:
        """Return the node that an alias stands for.

        Raises ConfigError where it stands for nothing, or for what it lies in, or is one too many.
        """
        self.aliases += 1
        if self.aliases > self.limits.aliases:
            message = f"This file uses its anchors more than {self.limits.aliases:,} times."
            self.notes.too_many("aliases", message, event.start_mark.index)
        return self.anchors.get(event.anchor) or self.notes.unknown_alias(
            event.anchor, self.anchors, event.start_mark.index
        )
