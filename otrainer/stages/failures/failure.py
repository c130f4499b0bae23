"""An exception with what its reports have in common: the component it came through, and its way in the user's code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from otrainer.diagnostics.exceptions import callers_of, led_by
from otrainer.errors import ConfigPath, Finding, Places, SourceLocation
from otrainer.stages.failures.frames import MODULE_CALLS

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Raised, Related, Step
    from otrainer.model.ir import ModelIR
    from otrainer.stages.failures.attribution import Component, ComponentIndex, Passage


@dataclass(frozen=True)
class Failure:
    """What a run raised. `raised` may be of a second call, which says more than `error` itself does."""

    error: BaseException
    raised: Raised
    components: ComponentIndex
    ir: ModelIR
    places: Places | None = None

    @cached_property
    def passage(self) -> Passage | None:
        """Its way through the innermost component that it came through."""
        return self.components.innermost(self.raised.steps)

    @property
    def component(self) -> Component | None:
        return self.passage.component if self.passage else None

    @property
    def path(self) -> ConfigPath:
        return self.component.path if self.component else ()

    @property
    def in_component(self) -> list[tuple[str, ConfigPath]]:
        """The component as a related place."""
        return [(f"in `{self.component.key}`", self.component.path)] if self.component else []

    @cached_property
    def inside(self) -> Sequence[Step]:
        """The steps from that component on."""
        return self.raised.steps[self.passage.entry :] if self.passage else self.raised.steps

    @cached_property
    def method(self) -> Step | None:
        """The step in the component's own method: the first in the user's code, else the first of any."""
        own = next((step for step in self.inside if step.is_own), None)
        within = self.raised.steps[self.passage.entry : self.passage.last + 1] if self.passage else ()
        return own or next((step for step in within if step.function not in MODULE_CALLS), None)

    def finding(
        self,
        title: str,
        message: Sequence[str],
        path: ConfigPath,
        *,
        steps: Sequence[Step] = (),
        related: Sequence[tuple[str, ConfigPath]] = (),
        at: Sequence[Related] = (),
        hint: str = "",
    ) -> Finding:
        """Return a finding at the innermost of `steps` that is the user's own, else at `path`; others are `related`."""
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
