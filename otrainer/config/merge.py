"""Lay one tree over another: mappings merge deeply, everything else replaces, containers say otherwise.

A container with nothing below it waits in a pile, while files are merged: what lies below it may come from a file that
an including one lists before its own, or is the template, inside a mapping with `_template_`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.config.budget import Budget
from otrainer.config.containers import elements_by_key, read_container
from otrainer.config.nodes import (
    MERGE,
    Mapping,
    Node,
    Pile,
    Scalar,
    Sequence,
    is_null,
    kind_of,
    length_of,
    mapping_of,
    place_of,
    sequence_of,
)
from otrainer.errors import ConfigPath, Finding

if TYPE_CHECKING:
    from otrainer.config.findings import Findings


class Merger:
    """Lays trees over each other; neither tree is changed, and faulty containers are added to `findings`.

    While files are merged a pile stands for a value that is not known yet; while templates are `expanding` it is laid
    over what the template has in its place.
    """

    def __init__(self, findings: Findings, budget: Budget | None = None, *, expanding: bool = False) -> None:
        self.findings = findings
        self.budget = budget or Budget()
        self.expanding = expanding

    def settle(self, node: Node, path: ConfigPath) -> Node:
        """`node` over nothing: each container yields its value, but for those that wait for a template."""
        return self.lay(None, node, path) if node.special & MERGE else node

    def lay(self, base: Node | None, over: Node, path: ConfigPath, *, keep: bool = False) -> Node:
        """Lay `over` on top of `base`; `keep` says that something may lie below both: a template, or another file."""
        if isinstance(over, Mapping):
            if "_merge_" in over.items or "_value_" in over.items:
                if isinstance(base, Pile):
                    return Pile((*base.layers, over))
                waits = keep and (base is None or (replaces_by_mapping(over) and not self.expanding))
                return Pile((over,)) if waits else self.apply(base, over, path)
            if isinstance(base, Pile):
                return Pile((*base.layers, over))
            if isinstance(base, Mapping) or over.special & MERGE:
                return self.lay_mapping(base if isinstance(base, Mapping) else None, over, path, keep=keep)
        elif isinstance(over, Sequence) and over.special & MERGE:
            self.budget.spend(len(over.items), over, path)
            items = [self.settle(item, (*path, at)) for at, item in enumerate(over.items)]
            return sequence_of(items, over.file, over.at, over.key_at)
        elif isinstance(over, Pile):
            return self.lay_pile(base, over, path, keep=keep)
        return over

    def lay_mapping(self, base: Mapping | None, over: Mapping, path: ConfigPath, *, keep: bool = False) -> Mapping:
        """Merge deeply: the base's keys in their order, then the new ones.

        Sizes are kept by difference, so that a small layer over a large one costs no more than what it holds.
        """
        self.budget.spend(1 + len(over.items) + (len(base.items) if base else 0), over, path)
        items = dict(base.items) if base else {}
        special, size, depth = (base.special, base.size, base.depth) if base else (0, 1, 1)
        length = base.length if base else 0
        keep = keep or "_template_" in over.items or "_template_" in items
        for key, value in over.items.items():
            node, below_size = value, 0
            if key in items:
                below = items[key]
                if below is value:
                    continue  # one file by two ways; a value laid over itself is itself
                if type(value) is not Scalar:  # which only takes the place of what is below
                    node = self.lay(below, value, (*path, key), keep=keep)
                below_size = below.size
                length -= length_of(below)
            elif value.special & MERGE:
                node = self.lay(None, value, (*path, key), keep=keep)
            items[key] = node
            special |= node.special
            size += node.size - below_size
            length += length_of(node) + len(key) * (node.size - below_size)
            if node.depth >= depth:
                depth = node.depth + 1
        return Mapping(items, over.file, over.at, over.key_at, special | over.special & ~MERGE, size, depth, length)

    def lay_pile(self, base: Node | None, over: Pile, path: ConfigPath, *, keep: bool) -> Node:
        """Lay each layer of `over` on `base` in turn; those that both have, by several ways, act once.

        A pile among the layers is a value of its own, with the same base.
        """
        if base is None and keep:
            return over
        if isinstance(base, Pile):
            known = set(map(id, base.layers))
            more = [each for each in over.layers if id(each) not in known]
            self.budget.spend(1 + len(base.layers) + len(over.layers), over, path)
            pile = Pile((*base.layers, *more)) if more else base
            return self.budget.within(pile, path, "With its `defaults` laid over each other")
        node: Node | None = base
        for layer in over.layers:
            value = self.lay_pile(base, layer, path, keep=keep) if isinstance(layer, Pile) else layer
            node = self.lay(node, value, path, keep=keep)
        return over if node is None else node

    def over_nothing(self, tree: Mapping, path: ConfigPath = ()) -> Mapping:
        """Return the tree with what waits laid over nothing, but for what waits for a template."""
        if not tree.special & MERGE or "_template_" in tree.items:
            return tree
        self.budget.spend(1 + len(tree.items), tree, path)
        items: dict[str, Node] = {}
        for key, node in tree.items.items():
            items[key] = node
            if isinstance(node, Pile):
                items[key] = node = self.lay_pile(None, node, (*path, key), keep=False)
            if isinstance(node, Mapping):
                items[key] = self.over_nothing(node, (*path, key))
        return mapping_of(items, tree.file, tree.at, tree.key_at)

    def apply(self, base: Node | None, over: Mapping, path: ConfigPath) -> Node:
        """Apply a container to `base`; a faulty one yields its value alone."""
        container = read_container(over, path)
        if isinstance(container, Finding):
            self.findings.append(container)
            value = over.items.get("_value_", base)
            return Scalar(None).placed(over) if value is None else self.settle(value, path)
        value = container.value
        if container.mode == "replace":
            return self.settle(value, path).placed(value, over)
        below = self.list_below(container.mode, base, over, path)
        self.budget.spend(len(below), over, path)
        if container.mode == "keyed":
            items = self.match_by_key(below, elements_of(value), container.field, path)
        else:
            above = elements_of(self.settle(value, path))
            items = [*below, *above] if container.mode == "append" else [*above, *below]
        return sequence_of(items, value.file, value.at, over.key_at)

    def list_below(self, mode: str, base: Node | None, over: Mapping, path: ConfigPath) -> list[Node]:
        """Return the list that a container extends; nothing and null count as an empty one."""
        if base is not None and not is_null(base) and not isinstance(base, Sequence):
            place = place_of(base)
            self.findings.append(
                Finding(
                    f"`_merge_: {mode}` extends a list, but what lies below is {kind_of(base)}.",
                    "base is no list",
                    path,
                    location=place_of(over.items["_merge_"]),
                    hint="Use `_merge_: replace`, or make the value below a list.",
                    related=(("the value below", place),) if place else (),
                )
            )
        return base.items if isinstance(base, Sequence) else []

    def match_by_key(self, below: list[Node], above: list[Node], field: str, path: ConfigPath) -> list[Node]:
        """Merge elements of `above` into those of `below` with the same value of `field`, and append new ones."""
        merged = elements_by_key(below, field, path, self.findings)
        for at, (identity, element) in enumerate(elements_by_key(above, field, path, self.findings).items()):
            merged[identity] = self.lay(merged.get(identity), element, (*path, at))
        return list(merged.values())


def replaces_by_mapping(container: Mapping) -> bool:
    """Return whether a container replaces what lies below by a mapping, which would merge with it by itself."""
    mode, value = container.items.get("_merge_"), container.items.get("_value_")
    return isinstance(value, Mapping) and isinstance(mode, Scalar) and mode.value == "replace"


def elements_of(node: Node) -> list[Node]:
    return node.items if isinstance(node, Sequence) else []
