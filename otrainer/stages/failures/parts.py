"""Which part of a run an exception came through: the component, by its registry key and its place in the config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, TypeGuard

import torch

from otrainer.engine.data.loader import Loader
from otrainer.engine.setup import Session
from otrainer.model.generated import GeneratedModel

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Step
    from otrainer.errors import ConfigPath
    from otrainer.model.ir import Program
    from otrainer.registry import Built


@dataclass(frozen=True)
class Part:
    """A component: the key that names it, and where the config does."""

    key: str
    path: ConfigPath


@dataclass(frozen=True)
class Found:
    """A component on the way of an exception: the numbers of the step at which it went in, and of the innermost one."""

    part: Part
    entry: int
    last: int


PLAIN = (bool, int, float, str, bytes, tuple, type(None))  # equal ones are one object
# What parts of a run make themselves is told by its class.
MADE: tuple[tuple[type, str], ...] = (
    (Loader, "data"),
    (torch.optim.Optimizer, "optimizer"),
    (torch.optim.lr_scheduler.LRScheduler, "scheduler"),
)


class Parts:
    """The components of a run, as they were `built` from its config."""

    def __init__(self, config: Mapping[str, Any], built: Sequence[Built], program: Program) -> None:
        self.config, self.program = config, program
        objects = [each for each in built if not isinstance(each.value, PLAIN)]
        self._objects = {id(each.value): Part(each.key, each.path) for each in objects}
        self._codes = {code: Part(each.key, each.path) for each in built for code in code_of(each.value)}
        self._data = [each for each in built if each.path[:1] == ("data",)]

    def innermost(self, steps: Sequence[Step]) -> Found | None:
        """The component that the last of `steps` is in, with its first step there and its last one."""
        made = self._made_by(steps)
        found: Found | None = None
        for number in range(len(steps) - 1, -1, -1):
            part = self._part_at(steps[number], made)
            if part is not None and found is None:
                found = Found(part, number, number)
            elif part is not None and found is not None and part != found.part:
                break
            elif part is not None and found is not None:
                found = replace(found, entry=number)
        return found

    def of_object(self, value: object) -> Part | None:
        """The component that an object is."""
        return self._objects.get(id(value))

    def section(self, name: str) -> Part:
        """What a section of the config names."""
        body = self.config.get(name)
        spec = body if isinstance(body, Mapping) else {}
        if name in ("optimizer", "scheduler") and isinstance(spec.get("type"), str):
            return Part(spec["type"], (name, "type"))
        return Part(str(spec.get("_type_", name)), (name,))

    def key_at(self, path: ConfigPath) -> str:
        """The key that the spec at `path` names."""
        spec: Any = self.config
        for step in path:
            spec = spec[step]
        return str(spec.get("_type_", spec.get("_target_"))) if isinstance(spec, Mapping) else ""

    def _part_at(self, step: Step, made: Mapping[int, str]) -> Part | None:
        if step.frame is None:
            return next((Part(each.key, each.path) for each in self._data if wrote(each.value, step)), None)
        subject = subject_of(step.frame)
        if id(subject) in self._objects:
            return self._objects[id(subject)]
        if step.frame.f_code in self._codes:
            return self._codes[step.frame.f_code]
        if runs(subject, self.program):
            return self.section("model")
        section = made.get(id(subject)) or next((name for cls, name in MADE if isinstance(subject, cls)), None)
        return self.section(section) if section else None

    def _made_by(self, steps: Sequence[Step]) -> dict[int, str]:
        """Sections by the objects that their components made for a session that these steps are in."""
        found: dict[int, str] = {}
        for step in steps:
            session = step.frame.f_locals.get("session") if step.frame else None
            if isinstance(session, Session):
                ctx = session.ctx
                loaders = (ctx.train._loader, session.val._loader)
                found |= {id(loader): "data" for loader in loaders if loader is not None}
                found |= {id(ctx.optimizer): "optimizer", id(ctx.scheduler): "scheduler"}
                found.pop(id(None), None)
        return found


def runs(value: object, program: Program) -> TypeGuard[GeneratedModel]:
    """Whether an object is a run's model, or a copy of it: one of another config has other nodes."""
    return isinstance(value, GeneratedModel) and repr(value.program) == repr(program)


def subject_of(frame: FrameType) -> Any:
    """What the function of a frame was called on, if it is a method."""
    code = frame.f_code
    return frame.f_locals.get("self") if code.co_argcount and code.co_varnames[0] == "self" else None


def code_of(value: Any) -> Iterator[CodeType]:
    """The code of a component that is a function itself."""
    while isinstance(value, partial):
        value = value.func
    code = getattr(value, "__code__", None)
    if isinstance(code, CodeType):
        yield code


def wrote(value: Any, step: Step) -> bool:
    """Whether a step without a frame is in a method of `value`, by the file and the line."""
    return any(
        code.co_filename == step.file and code.co_name == step.function and step.line in lines_of(code)
        for cls in type(value).__mro__
        for method in vars(cls).values()
        for code in code_of(getattr(method, "__func__", method))
    )


def lines_of(code: CodeType) -> range:
    lines = [line for _, _, line in code.co_lines() if line is not None]
    return range(code.co_firstlineno, max(lines, default=code.co_firstlineno) + 1)
