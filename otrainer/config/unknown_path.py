"""Explain why a path leads nowhere, and suggest where it may have been meant to lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.config.nodes import Mapping, Node, Sequence, child_of, kind_of
from otrainer.errors import ConfigPath, dotted

if TYPE_CHECKING:
    from otrainer.config.findings import Findings

MAX_INDEXED = 200_000


class UnknownPaths:
    """Explains paths of one tree that lead nowhere."""

    def __init__(self, root: Mapping, findings: Findings) -> None:
        self.root = root
        self.findings = findings
        self.by_last_key: dict[str, list[ConfigPath]] = {}

    def explain(self, at: Node, path: ConfigPath, index: int) -> tuple[str, str, tuple[str, ...]]:
        """Return a sentence, the next step and the nearest paths for step `index` of `path`, which `at` lacks."""
        step, here, there = path[index], dotted(path[:index]), dotted(path[: index + 1])
        if isinstance(at, Mapping) and isinstance(step, str):
            hint = "Paths start at the top of the config."
            return f"There is no `{there}`.", hint, self.near(at, path, index)
        if isinstance(at, Sequence) and isinstance(step, int):
            count = len(at.items)
            message = f"There is no `{there}`: the list has {count} element{'' if count == 1 else 's'}."
            return message, "Indices count from 0.", ()
        if isinstance(at, Sequence):
            return f"`{here}` is a list, so it has no `{step}`.", f"Name an element by its index: `{here}[0]`.", ()
        if isinstance(at, Mapping):
            hint = "Name its values by their keys."
            return f"`{here}` is a mapping, so it has no element {step}.", hint, self.near(at, path, index)
        return f"`{here}` is {kind_of(at)}, so there is nothing at `{there}`.", "Refer to the value itself.", ()

    def near(self, at: Mapping, path: ConfigPath, index: int) -> tuple[str, ...]:
        """Return paths that exist: with a name like the unknown one, or with the same last key elsewhere."""
        found = [self.completed(at, name, path, index) for name in self.findings.near(str(path[index]), at.items)]
        elsewhere = self.index().get(str(path[-1]), [])
        return tuple(map(dotted, dict.fromkeys([*found, *elsewhere])))[:3]

    def completed(self, at: Mapping, name: str, path: ConfigPath, index: int) -> ConfigPath:
        """`path` with `name` as its step `index`, and on from there as far as names like its own lead."""
        node = at.items[name]
        steps: list[str | int] = [*path[:index], name]
        for step in path[index + 1 :]:
            found: str | int | None = step
            if child_of(node, step) is None:
                named = isinstance(node, Mapping) and isinstance(step, str)
                near = self.findings.near(str(step), node.items) if named and isinstance(node, Mapping) else ()
                found = near[0] if near else None
            child = None if found is None else child_of(node, found)
            if found is None or child is None:
                break
            node = child
            steps.append(found)
        return tuple(steps)

    def index(self) -> dict[str, list[ConfigPath]]:
        """Up to three paths for each key, in document order."""
        if self.by_last_key:
            return self.by_last_key
        stack: list[tuple[ConfigPath, Node]] = [((), self.root)]
        seen = 0
        while stack and seen < MAX_INDEXED:
            path, node = stack.pop()
            seen += 1
            if path and isinstance(path[-1], str):
                known = self.by_last_key.setdefault(path[-1], [])
                if len(known) < 3:
                    known.append(path)
            if isinstance(node, Mapping):
                stack.extend(((*path, key), child) for key, child in reversed(node.items.items()))
            elif isinstance(node, Sequence):
                stack.extend(((*path, at), node.items[at]) for at in reversed(range(len(node.items))))
        return self.by_last_key
