"""Replace `${...}` by values, each evaluated once and only after what it depends on; chains may be of any length."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias

from otrainer.config.budget import USED_OFTEN, Budget
from otrainer.config.expressions import Expression, Malformed, Reference, Secret, Variable, parse_text
from otrainer.config.findings import Findings
from otrainer.config.limits import or_raise
from otrainer.config.nodes import (
    INDEX,
    TEXT,
    Mapping,
    Node,
    Pile,
    Scalar,
    Sequence,
    Trail,
    child_of,
    kind_of,
    length_of,
    path_of,
    place_of,
    place_within,
    walk,
)
from otrainer.config.scalars import as_text, as_written
from otrainer.config.secrets import guarded, joined
from otrainer.config.text import shortened
from otrainer.config.unknown_path import UnknownPaths
from otrainer.config.variables import VariableError, variable_value
from otrainer.errors import ConfigPath, Finding, dotted

if TYPE_CHECKING:
    from otrainer.config.reads import Recorder

MAX_CHAIN = 10
STEPS_PER_EXPRESSION = 5  # it takes as much memory as so many nodes

# A step asks for the value of a node and is sent it, or None where that is broken; it returns its own value.
Step: TypeAlias = Generator[Node, Node | None, Node | None]


class Interpolator:
    """Evaluates the expressions of one tree. A broken value is left as its raw text, its mistake in `findings`.

    Under `lenient` a path that leads nowhere is no mistake: part of the tree is known to be missing.
    """

    def __init__(self, root: Mapping, recorder: Recorder, budget: Budget, *, lenient: bool = False) -> None:
        self.root = root
        self.recorder = recorder
        self.budget = budget
        self.lenient = lenient
        self.findings = Findings(budget.limits.mistakes)
        self.used: dict[str, None] = {}
        self.written: dict[int, Scalar] = {}
        self.unknown = UnknownPaths(root, self.findings)
        self._trails: dict[int, Trail | None] = {}
        self.done: dict[int, Node | None] = {}

    def run(self) -> Mapping:
        """Return the tree with its expressions evaluated."""
        result = self.evaluate(self.root)
        return result if isinstance(result, Mapping) else self.root

    def path(self, node: Node) -> ConfigPath:
        """Return the first path of a node that holds expressions; only findings ask for it."""
        if not self._trails:
            for trail, found in walk(self.root, TEXT):
                self._trails.setdefault(id(found), trail)
        return path_of(self._trails.get(id(node)))

    def evaluate(self, start: Node) -> Node | None:
        """Evaluate `start` in a depth-first walk whose stack is a list, so that no chain is too long for it."""
        if not start.special & TEXT:
            return start
        stack = [(start, self.step(start))]
        active = {id(start): 0}
        answer: Node | None = None
        while stack:
            node, step = stack[-1]
            try:
                wanted = step.send(answer)
            except StopIteration as finished:
                stack.pop()
                del active[id(node)]
                self.done[id(node)] = answer = finished.value
                continue
            answer = None
            key = id(wanted)
            if key in self.done:
                answer = self.done[key]
            elif key in active:
                self.cycle([member for member, _ in stack[active[key] :]])
            else:
                active[key] = len(stack)
                stack.append((wanted, self.step(wanted)))
        return answer

    def step(self, node: Node) -> Step:
        return self.scalar(node) if isinstance(node, Scalar) else self.collection(node)

    def collection(self, node: Mapping | Sequence | Pile) -> Step:
        """Evaluate the children of a mapping or list, and leave broken ones; its totals are updated by difference."""
        if isinstance(node, Pile):
            return node
        self.budget.spend(len(node.items), node)
        result = node.copy()
        items: Any = result.items
        special, size, depth, length = node.special & ~TEXT, node.size, node.depth, node.length
        steps: Any = node.items.items() if isinstance(node, Mapping) else enumerate(node.items)
        for step, child in steps:
            if not child.special & TEXT:
                continue
            items[step] = value = (yield child) or child
            special |= value.special
            length += length_of(value) - length_of(child)
            if value.size != child.size:
                size += value.size - child.size
                length += (value.size - child.size) * (len(step) if isinstance(step, str) else INDEX)
            if value.depth >= depth:
                depth = value.depth + 1
        result.special, result.size, result.depth, result.length = special, size, depth, length
        limits = self.budget.limits
        if size <= limits.nodes and depth <= limits.depth and length <= limits.text:
            return result
        self.too_large(node, result)
        return None

    def scalar(self, node: Scalar) -> Step:
        """Evaluate a string: to the value of an expression that fills it, or to the text of all its parts."""
        self.budget.spend(STEPS_PER_EXPRESSION * str(node.value).count("${"), node)
        parts = parse_text(str(node.value))
        pieces: list[str] = []
        for part in parts:
            if isinstance(part, str):
                pieces.append(guarded(part))
                continue
            value: Node | None
            if isinstance(part, Reference):
                value = yield from self.follow(part, node)
            else:
                value = self.value_of(part, node)
            if len(parts) == 1:
                return value and self.placed(value, node)
            if isinstance(value, Scalar):
                pieces.append(value.value if isinstance(value.value, str) else self.number_text(value))
            elif value is not None:
                self.not_text(part, node, value)
        return self.text_of(pieces, node) if len(pieces) == len(parts) else None

    def placed(self, value: Node, node: Scalar) -> Node:
        """Return the value as if it stood where `node` does; where a number was written is remembered."""
        placed = value.placed(node)
        if type(value) is Scalar and type(value.value) in (int, float):
            self.written[id(placed)] = self.written.get(id(value), value)
        return placed

    def number_text(self, value: Scalar) -> str:
        """Return a value that is no string inside of one: a decimal number as its file has it."""
        there = self.written.get(id(value), value)
        shown = as_written(there.file.text, there.at, value.value) if there.file is not None else None
        return as_text(value.value) if shown is None else shown

    def value_of(self, part: Secret | Variable | Malformed, node: Scalar) -> Node | None:
        """Return the value of an expression in `node` that depends on no other node."""
        if isinstance(part, Secret):
            return Scalar(f"${{secret:{part.name}}}").placed(node)
        if isinstance(part, Malformed):
            self.note("invalid expression", part.message, part.hint, node, part, part.suggestions)
            return None
        try:
            return variable_value(part, self.recorder, node, self.budget)
        except VariableError as error:
            self.note(error.title, str(error), error.hint, node, part, error.suggestions)
            return None

    def follow(self, reference: Reference, node: Scalar) -> Step:
        """Find the value at the path, which may lead through other references."""
        at: Node = self.root
        self.used[str(reference.path[0])] = None
        for index, step in enumerate(reference.path):
            if isinstance(at, Scalar) and at.special & TEXT:
                value = yield at
                if value is None:
                    return None
                at = value
            child = child_of(at, step)
            if child is None:
                if self.findings.is_full:
                    self.findings.unlisted += not self.lenient
                elif not self.lenient:
                    message, hint, near = self.unknown.explain(at, reference.path, index)
                    self.note("unknown path", message, hint, node, reference, near)
                return None
            at = child
        return (yield at) if at.special & TEXT else at

    def text_of(self, pieces: list[str], node: Scalar) -> Node | None:
        length, most = sum(map(len, pieces)), self.budget.limits.string
        if length > most:
            message = f"With its expressions evaluated this string is longer than {most:,} characters."
            self.note("string too long", message, or_raise(USED_OFTEN, "string"), node)
            return None
        self.budget.write(length, node)
        try:
            return Scalar(joined(pieces), node.file, node.at, node.key_at)
        except ValueError:
            message = "A value that ends in `$` stands right before `${secret:...}`, which would make that a literal."
            self.note("invalid expression", message, "Put something between the two.", node)
            return None

    def not_text(self, part: Expression, node: Scalar, value: Node) -> None:
        message = f"`{shortened(part.text)}` is {kind_of(value)}, which has no place inside a longer string."
        self.note("not a plain value", message, "Refer to one of its values, or let it fill the string.", node, part)

    def too_large(self, node: Node, result: Mapping | Sequence) -> None:
        limits = self.budget.limits
        which, what = "text", f"more than {limits.text:,} characters, paths to values included"
        if result.size > limits.nodes:
            which, what = "nodes", f"more than {limits.nodes:,} nodes"
        elif result.depth > limits.depth:
            which, what = "depth", f"collections {limits.depth} deep"
        message = f"With its expressions evaluated this collection holds {what}."
        self.note("config too large", message, or_raise(USED_OFTEN, which), node)

    def cycle(self, members: list[Node]) -> None:
        """Report a cycle at each expression that is part of it."""
        if self.findings.is_full:
            self.findings.unlisted += len(members)
            return
        names = [dotted(self.path(member)) for member in members]
        for index, member in enumerate(members):
            if isinstance(member, Scalar):
                chain = [*names[index:], *names[:index], names[index]] if len(names) <= MAX_CHAIN else cut(names, index)
                message = f"`{names[index]}` refers back to itself: {' -> '.join(chain)}."
                references = [part for part in parse_text(str(member.value)) if isinstance(part, Reference)]
                only = references[0] if len(references) == 1 else None
                self.note("reference cycle", message, "Give one of them a value of its own.", member, only)

    def note(
        self,
        title: str,
        message: str,
        hint: str,
        node: Node,
        part: Expression | None = None,
        suggestions: tuple[str, ...] = (),
    ) -> None:
        """Report a mistake at an expression of `node`, or at the node."""
        if self.findings.is_full:
            self.findings.unlisted += 1
            return
        place = place_within(node, part.text, part.start) if part else place_of(node)
        path = self.path(node)
        self.findings.append(Finding(message, title, path, location=place, suggestions=suggestions, hint=hint))


def cut(names: list[str], index: int) -> list[str]:
    """Shorten a long chain from `index` around to itself."""
    count = len(names)
    ends = [names[(index + step) % count] for step in (0, 1, 2, 3, -3, -2, -1, 0)]
    return [*ends[:4], f"... ({count - 7} more)", *ends[4:]]
