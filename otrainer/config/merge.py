"""Laying one tree over another: mappings merge deeply, everything else replaces, containers say otherwise.

Inside a mapping with `_template_` a container that finds nothing below itself is kept: its base is the template.
"""

from __future__ import annotations

from otrainer.config.containers import elements_by_key, read_container
from otrainer.config.nodes import MERGE, Mapping, Node, Pile, Scalar, Sequence, is_null, kind_of, place_of, sequence_of
from otrainer.errors import ConfigPath, Finding


def settle(node: Node, path: ConfigPath, findings: list[Finding]) -> Node:
    """`node` over nothing: each container yields its value, but for those that wait for a template."""
    return lay(None, node, path, findings) if node.special & MERGE else node


def lay(base: Node | None, over: Node, path: ConfigPath, findings: list[Finding], *, keep: bool = False) -> Node:
    """The tree of `over` on top of `base`; the base's keys come first, in their order.

    `keep` says that a template lies below both. Neither tree is changed; faulty containers are added to `findings`.
    """
    if isinstance(over, Mapping):
        if "_merge_" in over.items or "_value_" in over.items:
            if isinstance(base, Pile):
                return Pile((*base.layers, over))
            return Pile((over,)) if keep and base is None else apply(base, over, path, findings)
        if isinstance(base, Pile):
            return Pile((*base.layers, over))
        if isinstance(base, Mapping) or over.special & MERGE:
            return lay_mapping(base if isinstance(base, Mapping) else None, over, path, findings, keep=keep)
    elif isinstance(over, Sequence) and over.special & MERGE:
        items = [settle(item, (*path, at), findings) for at, item in enumerate(over.items)]
        return sequence_of(items, over.file, over.at, over.key_at)
    elif isinstance(over, Pile):
        first, *rest = over.layers
        node = lay(base, first, path, findings, keep=keep)
        for layer in rest:
            node = lay(node, layer, path, findings, keep=keep)
        return node
    return over


def lay_mapping(
    base: Mapping | None, over: Mapping, path: ConfigPath, findings: list[Finding], *, keep: bool = False
) -> Mapping:
    """A deep merge. Sizes are kept by difference, so that a small layer over a large one costs what it holds."""
    items = dict(base.items) if base else {}
    special, size, depth = (base.special, base.size, base.depth) if base else (0, 1, 1)
    keep = keep or "_template_" in over.items or "_template_" in items
    for key, value in over.items.items():
        below = items.get(key)
        node = value
        if below is not None or value.special & MERGE:
            node = lay(below, value, (*path, key), findings, keep=keep)
        items[key] = node
        special |= node.special
        size += node.size - (below.size if below is not None else 0)
        depth = max(depth, node.depth + 1)
    return Mapping(items, over.file, over.at, over.key_at, special | over.special & ~MERGE, size, depth)


def apply(base: Node | None, over: Mapping, path: ConfigPath, findings: list[Finding]) -> Node:
    """What a container makes of `base`; a faulty one yields its value alone."""
    container = read_container(over, path)
    if isinstance(container, Finding):
        findings.append(container)
        value = over.items.get("_value_", base)
        return Scalar(None).placed(over) if value is None else settle(value, path, findings)
    value = container.value
    if container.mode == "replace":
        return settle(value, path, findings).placed(value, over)
    below = list_below(container.mode, base, over, path, findings)
    if container.mode == "keyed":
        items = match_by_key(below, elements_of(value), container.field, path, findings)
    else:
        above = elements_of(settle(value, path, findings))
        items = [*below, *above] if container.mode == "append" else [*above, *below]
    return sequence_of(items, value.file, value.at, over.key_at)


def elements_of(node: Node) -> list[Node]:
    return node.items if isinstance(node, Sequence) else []


def list_below(mode: str, base: Node | None, over: Mapping, path: ConfigPath, findings: list[Finding]) -> list[Node]:
    """The list that a container extends; nothing and null count as an empty one."""
    if base is not None and not is_null(base) and not isinstance(base, Sequence):
        place = place_of(base)
        findings.append(
            Finding(
                f"`_merge_: {mode}` extends a list, but what lies below is {kind_of(base)}.",
                "base is no list",
                path,
                place_of(over.items["_merge_"]),
                hint="Use `_merge_: replace`, or make the value below a list.",
                related=(("the value below", place),) if place else (),
            )
        )
    return base.items if isinstance(base, Sequence) else []


def match_by_key(
    below: list[Node], above: list[Node], field: str, path: ConfigPath, findings: list[Finding]
) -> list[Node]:
    """Elements of `above` merged into those of `below` with the same value of `field`, new ones after them."""
    merged = elements_by_key(below, field, path, findings)
    for at, (identity, element) in enumerate(elements_by_key(above, field, path, findings).items()):
        merged[identity] = lay(merged.get(identity), element, (*path, at), findings)
    return list(merged.values())
