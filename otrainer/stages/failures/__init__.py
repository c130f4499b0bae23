"""From what a part of a run raised to a report of it: the part, its place in the config, and the user's own lines.

Nothing is prepared while all goes well: what a report needs is found in the traceback afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.exceptions import MEND, Raised
from otrainer.diagnostics.redaction.exceptions import hide_in, masked_finding
from otrainer.engine.signals import TrainingInterrupted
from otrainer.errors import ConfigError, ConfigPath, Finding, Places
from otrainer.stages.failures.compiled import in_compiled
from otrainer.stages.failures.components import disk_trouble, in_backward, in_component, nothing_deterministic
from otrainer.stages.failures.failure import Failure
from otrainer.stages.failures.layers import in_model
from otrainer.stages.failures.memory import out_of_memory
from otrainer.stages.failures.parts import Parts
from otrainer.stages.failures.returns import of_a_return

if TYPE_CHECKING:
    from otrainer.model.ir import ModelIR
    from otrainer.registry import Built


class ComponentError(ConfigError):
    """What a component raised in a run, told as a mistake is; the exception itself is its `__cause__`."""

    def located(self, places: Places) -> ConfigError:
        """The same error with the places of its findings filled in."""
        return ComponentError.of(finding.located(places) for finding in self.findings)

    def __reduce__(self) -> tuple[object, ...]:
        return ComponentError.of, (self.findings,)


@dataclass(frozen=True)
class Origins:
    """What a run was made from: its config with the model's IR, what was `built` of it, and where it was written."""

    config: Mapping[str, Any]
    ir: ModelIR
    built: Sequence[Built]
    places: Places | None = None

    def told(self, error: BaseException) -> BaseException:
        """What to raise for `error`: a report of it, chained to it, or itself where it tells all that is known.

        An exception that shows a secret even so is not chained, since whatever prints the chain would print the secret.
        """
        if isinstance(error, TrainingInterrupted):
            return error
        hidden = hide_in(error)
        failure = Failure(error, Raised.of(error), Parts(self.config, self.built, self.ir.program), self.places)
        if isinstance(error, ConfigError):
            return self.placed(error, failure)
        told = ComponentError.of([masked_finding(self.finding(failure))])
        told.__cause__ = error if hidden else None
        return told

    def finding(self, failure: Failure) -> Finding:
        """The report by the first kind that it is of, or by none where some object cannot even be described."""
        try:
            return self.by_kind(failure)
        except Exception:  # noqa: BLE001 - a __repr__ that fails, say, shall not take the place of the error
            return failure.finding("failed", [failure.raised.said], (), steps=failure.raised.steps, hint=MEND)

    def by_kind(self, failure: Failure) -> Finding:
        return (
            disk_trouble(failure)
            or out_of_memory(failure, self.ir)
            or nothing_deterministic(failure)
            or in_compiled(failure, self.ir)
            or in_backward(failure)
            or in_model(failure, self.ir)
            or of_a_return(failure)
            or in_component(failure)
        )

    def placed(self, error: ConfigError, failure: Failure) -> ConfigError:
        """The same mistakes, with those at no place of the config at the component that found them."""
        part = failure.part
        if part is None:
            return error
        findings = [self.under(part.path, finding) for finding in error.findings]
        if findings == list(error.findings):
            return error
        placed = ConfigError.of(findings)
        placed.__cause__ = error.__cause__
        return placed

    def under(self, path: ConfigPath, finding: Finding) -> Finding:
        """A component may know its arguments by name, or only its section, and not where the config has them."""
        own = finding.config_path
        if finding.location is not None:
            return finding
        if own == path[: len(own)]:
            return replace(finding, config_path=path)
        return finding if own[0] in self.config else replace(finding, config_path=(*path, *own))
