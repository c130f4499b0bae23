"""An exception with what reports of it have in common: the part it came through, and its way in the user's code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.exceptions import callers_of, led_by
from otrainer.errors import ConfigPath, Finding, Places, SourceLocation

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Raised, Related, Step
    from otrainer.stages.failures.parts import Found, Part, Parts

CALLS = ("_call_impl", "_wrapped_call_impl")  # in torch, around the forward of every module


@dataclass(frozen=True)
class Failure:
    """What a run raised. `raised` may be of a second call, which says more than `error` itself does."""

    error: BaseException
    raised: Raised
    parts: Parts
    places: Places | None = None

    @cached_property
    def found(self) -> Found | None:
        """The innermost component that it came through."""
        return self.parts.innermost(self.raised.steps)

    @property
    def part(self) -> Part | None:
        return self.found.part if self.found else None

    @cached_property
    def inside(self) -> Sequence[Step]:
        """The steps from that component on."""
        return self.raised.steps[self.found.entry :] if self.found else self.raised.steps

    @cached_property
    def method(self) -> Step | None:
        """The step in the component's own method: the first in the user's code, else the first of any."""
        own = next((step for step in self.inside if step.is_own), None)
        within = self.raised.steps[self.found.entry : self.found.last + 1] if self.found else ()
        return own or next((step for step in within if step.function not in CALLS), None)

    def finding(
        self,
        title: str,
        message: Sequence[str],
        path: ConfigPath,
        *,
        steps: Sequence[Step],
        related: Sequence[tuple[str, ConfigPath]] = (),
        at: Sequence[Related] = (),
        hint: str = "",
    ) -> Finding:
        """A finding at the innermost of `steps` that is the user's own, else at `path`; the others are `related`."""
        own = [step for step in self.raised.steps if step.is_own]
        inner = next((step for step in reversed(own) if step in steps), None)
        in_config = [*related] if inner is None else [("in the config", path), *related]
        callers = [step for step in reversed(own) if step is not inner]
        led, words = led_by(self.raised)
        places = [(role, place) for role, to in in_config if (place := self.place(to)) is not None]
        return Finding(
            message="\n".join([*filter(None, message), *words]),
            title=title,
            config_path=path,
            location=inner.place if inner else self.place(path),
            hint=hint,
            related=(*at, *callers_of(callers), *led, *places),
        )

    def place(self, path: ConfigPath) -> SourceLocation | None:
        return self.places.locate(path) if self.places and path else None


def arguments(step: Step) -> dict[str, Any]:
    """What the function of a step was called with, as far as its names still hold it."""
    if step.frame is None:
        return {}
    code, local = step.frame.f_code, step.frame.f_locals
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return {name: local[name] for name in names if name in local}
