"""Expand `_template_: NAME`, which lays a node over a tree of the `templates` section."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from otrainer.config.findings import Findings
from otrainer.config.merge import Merger
from otrainer.config.nodes import (
    TEMPLATE,
    Mapping,
    Node,
    Pile,
    Scalar,
    Sequence,
    Trail,
    is_null,
    kind_of,
    mapping_of,
    path_of,
    place_of,
    sequence_of,
    walk,
    without,
)
from otrainer.config.text import shortened
from otrainer.errors import ConfigError, ConfigPath, Finding

if TYPE_CHECKING:
    from otrainer.config.budget import Budget

HOW = "With its templates expanded"


@dataclass(frozen=True, slots=True)
class Use:
    """One `_template_: NAME`, where it was written and the way to the node that has it."""

    name: str
    at: Node
    trail: Trail | None


def expand_templates(root: Mapping, findings: Findings, budget: Budget) -> Mapping:
    """`root` without its `templates` and with every `_template_` laid over the tree that it names.

    Faulty containers are added to `findings`. Raises ConfigError with all unknown names and cycles, used or not.
    """
    names = template_section(root)
    tree = without(root, "templates")
    if not root.special & TEMPLATE:
        return tree
    faults = Findings(budget.limits.mistakes)
    section = Trail(None, "templates")
    uses = {name: uses_in(node, Trail(section, name), names, faults) for name, node in names.items()}
    uses_in(tree, None, names, faults)
    order = dependency_order(uses, faults)
    if faults:
        raise ConfigError.of(faults.all())
    expander = Expander(Merger(findings, budget, expanding=True))
    for name in order:
        done = expander.expand(names[name], ("templates", name), keep=False)
        expander.done[name] = expander.merger.settle(done, ("templates", name))
    expanded = expander.expand(tree, (), keep=False)
    if isinstance(expanded, Mapping):
        return expanded
    place = place_of(tree.items["_template_"])
    message = f"The template of the whole config is {kind_of(expanded)}, not a mapping of sections."
    hint = "Let that template be a mapping, or use it further down."
    raise ConfigError(message, title="not a mapping", config_path=("_template_",), location=place, hint=hint)


def template_section(root: Mapping) -> dict[str, Node]:
    """Return the templates by name. Raises ConfigError where the section is no mapping."""
    section = root.items.get("templates")
    if section is None or is_null(section):
        return {}
    if isinstance(section, Mapping):
        return section.items
    raise ConfigError(
        f"`templates` is {kind_of(section)}; it maps names to trees.",
        title="templates are no mapping",
        config_path=("templates",),
        location=place_of(section),
        hint="Write `templates: {NAME: {...}}`.",
    )


def uses_in(node: Node, trail: Trail | None, names: dict[str, Node], faults: Findings) -> list[Use]:
    """Return every use below `node`; names that no template has are added to `faults`."""
    uses: list[Use] = []
    for here, found in walk(node, TEMPLATE, trail):
        at = found.items.get("_template_") if isinstance(found, Mapping) else None
        if at is None:
            continue
        name = template_name(at)
        if name is not None and name in names:
            uses.append(Use(name, at, here))
        elif faults.is_full:
            faults.unlisted += 1
        else:
            faults.append(unknown_template(at, names, (*path_of(here), "_template_"), faults))
    return uses


def template_name(at: Node | None) -> str | None:
    """Return the name that stands under `_template_`, if it is one."""
    return at.value if isinstance(at, Scalar) and isinstance(at.value, str) else None


def unknown_template(at: Node, names: dict[str, Node], path: ConfigPath, faults: Findings) -> Finding:
    if not isinstance(at, Scalar) or not isinstance(at.value, str):
        message = f"`_template_` is {kind_of(at)}, not the name of a template."
        return Finding(message, "unknown template", path, location=place_of(at), hint="Write `_template_: NAME`.")
    hint = "Templates are defined under a top-level `templates:`."
    if names:
        shown = [f"`{shortened(name)}`" for name in islice(names, 10)]
        hint = f"The templates are {', '.join(shown)}{', ...' if len(names) > 10 else '.'}"
    near = faults.near(at.value, names)
    return Finding(
        f"There is no template `{shortened(at.value)}`.",
        "unknown template",
        path,
        location=place_of(at),
        suggestions=near,
        hint=hint,
    )


def dependency_order(uses: dict[str, list[Use]], faults: Findings) -> list[str]:
    """Return all templates, each after those that it uses; cycles are added to `faults`."""
    order: list[str] = []
    seen: set[str] = set()
    for start in uses:
        if start in seen:
            continue
        seen.add(start)
        chain = {start: None}
        stack = [(start, iter(uses[start]))]
        while stack:
            name, rest = stack[-1]
            use = next(rest, None)
            if use is None:
                stack.pop()
                del chain[name]
                order.append(name)
            elif use.name in chain:
                faults.append(cycle(use, list(chain)))
            elif use.name not in seen:
                seen.add(use.name)
                chain[use.name] = None
                stack.append((use.name, iter(uses[use.name])))
    return order


def cycle(use: Use, chain: list[str]) -> Finding:
    members = [*chain[chain.index(use.name) :], use.name]
    shown = " -> ".join(members if len(members) <= 10 else [*members[:5], "...", *members[-4:]])
    message = f"The template `{use.name}` contains itself: {shown}."
    path = (*path_of(use.trail), "_template_")
    return Finding(
        message, "template cycle", path, location=place_of(use.at), hint="Take one `_template_` out of the chain."
    )


class Expander:
    """Lays nodes over templates that are expanded already."""

    def __init__(self, merger: Merger) -> None:
        self.merger = merger
        self.budget = merger.budget
        self.done: dict[str, Node] = {}

    def expand(self, node: Node, path: ConfigPath, *, keep: bool) -> Node:
        """`node` with its templates below it; `keep` says that one more template lies below all of that."""
        if not node.special & TEMPLATE or isinstance(node, Scalar):
            return node
        self.budget.spend(1 + len(node.layers if isinstance(node, Pile) else node.items), node, path)
        if isinstance(node, Sequence):
            elements = [self.expand(item, (*path, at), keep=False) for at, item in enumerate(node.items)]
            return self.budget.within(sequence_of(elements, node.file, node.at, node.key_at), path, HOW)
        if isinstance(node, Pile):
            return Pile(tuple(self.expand(layer, path, keep=True) for layer in node.layers))
        name = template_name(node.items.get("_template_"))
        below = None if name is None else self.done[name]
        inner = keep or below is not None
        items = {key: self.expand(child, (*path, key), keep=inner) for key, child in node.items.items()}
        if below is not None:
            del items["_template_"]
        body = mapping_of(items, node.file, node.at, node.key_at)
        whole = body if below is None else self.over_template(below, body, path, keep=keep)
        return self.budget.within(whole, path, HOW)

    def over_template(self, template: Node, body: Mapping, path: ConfigPath, *, keep: bool) -> Node:
        """`body` over `template`; an empty body takes the template whole."""
        if not body.items:
            return template.placed(body)
        return self.merger.lay(template, body, path, keep=keep)
