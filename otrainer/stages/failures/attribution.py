"""Find the component of a run that an exception came through, by its registry key and its place in the config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from types import CodeType
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.data.loader import Loader
from otrainer.engine.session import Session
from otrainer.stages.failures.frames import receiver, runs, variables

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Step
    from otrainer.errors import ConfigPath
    from otrainer.model.ir import Program
    from otrainer.registry import Built


@dataclass(frozen=True)
class Component:
    """A component: the key that names it, and where the config does."""

    key: str
    path: ConfigPath


@dataclass(frozen=True)
class Passage:
    """An exception's way through a component: the numbers of the step that entered it, and of the innermost one."""

    component: Component
    entry: int
    last: int


PLAIN = (bool, int, float, str, bytes, tuple, type(None))  # equal ones are one object
# What components make themselves is attributed by its class.
MADE: tuple[tuple[type, str], ...] = (
    (Loader, "data"),
    (torch.optim.Optimizer, "optimizer"),
    (torch.optim.lr_scheduler.LRScheduler, "scheduler"),
)


class ComponentIndex:
    """The components of a run, as they were `built` from its config, by their objects and their code."""

    def __init__(self, config: Mapping[str, Any], built: Sequence[Built], programs: Sequence[Program]) -> None:
        self.config, self.programs = config, programs
        components = [(each.value, Component(each.key, each.path)) for each in built]
        self._by_object = {id(value): found for value, found in components if not isinstance(value, PLAIN)}
        self._by_code = {code: found for value, found in components for code in code_of(value)}
        self._data = [(value, found) for value, found in components if found.path[:1] == ("data",)]

    def innermost(self, steps: Sequence[Step]) -> Passage | None:
        """Return the way through the component that the last of `steps` is in."""
        made = made_by_components(steps)
        seen = [(number, found) for number, step in enumerate(steps) if (found := self._at(step, made))]
        if not seen:
            return None
        last, component = seen[-1]
        *_, (entry, _) = takewhile(lambda each: each[1] == component, reversed(seen))
        return Passage(component, entry, last)

    def of_object(self, value: object) -> Component | None:
        """Return the component that an object is."""
        return self._by_object.get(id(value))

    def section(self, name: str) -> Component:
        """Return what a section of the config names."""
        body = self.config.get(name)
        spec = body if isinstance(body, Mapping) else {}
        if name in ("optimizer", "scheduler") and isinstance(spec.get("type"), str):
            return Component(spec["type"], (name, "type"))
        return Component(str(spec.get("_type_", name)), (name,))

    def key_at(self, path: ConfigPath) -> str:
        """Return the key that the spec at `path` names."""
        spec: Any = self.config
        for part in path:
            spec = spec[part]
        return str(spec.get("_type_", spec.get("_target_"))) if isinstance(spec, Mapping) else ""

    def _at(self, step: Step, made: Mapping[int, str]) -> Component | None:
        if step.frame is None:
            return next((found for value, found in self._data if is_method_of(value, step)), None)
        subject = receiver(step)
        if found := self._by_object.get(id(subject)) or self._by_code.get(step.frame.f_code):
            return found
        if any(runs(subject, each) for each in self.programs):
            return self.section("model")
        section = made.get(id(subject)) or next((name for cls, name in MADE if isinstance(subject, cls)), None)
        return self.section(section) if section else None


def made_by_components(steps: Sequence[Step]) -> dict[int, str]:
    """Return sections by the objects that their components made for a session that `steps` are in."""
    made: dict[int, str] = {}
    for step in steps:
        session = variables(step).get("session")
        if isinstance(session, Session):
            ctx = session.ctx
            made |= {id(each._loader): "data" for each in (ctx.train, *session.val.by_name().values())}
            made |= {id(ctx.optimizer): "optimizer", id(ctx.scheduler): "scheduler"}
    made.pop(id(None), None)
    return made


def code_of(value: Any) -> Iterator[CodeType]:
    """Yield the code of a component that is a function itself."""
    while isinstance(value, partial):
        value = value.func
    code = getattr(value, "__code__", None)
    if isinstance(code, CodeType):
        yield code


def is_method_of(value: Any, step: Step) -> bool:
    """Return whether a step without a frame is in a method of `value`, by the file and the line."""
    return any(
        code.co_filename == step.file and code.co_name == step.function and step.line in lines_of(code)
        for cls in type(value).__mro__
        for method in vars(cls).values()
        for code in code_of(getattr(method, "__func__", method))
    )


def lines_of(code: CodeType) -> range:
    lines = [line for _, _, line in code.co_lines() if line is not None]
    return range(code.co_firstlineno, max(lines, default=code.co_firstlineno) + 1)
