"""From what a component raised in a run to a report: the component, its place in the config, the user's own lines.

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
from otrainer.stages.failures.attribution import ComponentIndex
from otrainer.stages.failures.component_report import (
    report_backward,
    report_component,
    report_disk,
    report_nondeterministic,
    report_returned_value,
)
from otrainer.stages.failures.failure import Failure
from otrainer.stages.failures.memory_report import report_out_of_memory
from otrainer.stages.failures.model_report import report_compiled_call, report_model

if TYPE_CHECKING:
    from otrainer.model.ir import ModelIR
    from otrainer.registry import Built

# Each returns None for a failure of another kind; the last one takes all.
REPORTS = (
    report_disk,
    report_out_of_memory,
    report_nondeterministic,
    report_compiled_call,
    report_backward,
    report_model,
    report_returned_value,
    report_component,
)


class ComponentError(ConfigError):
    """What a component raised in a run, reported as a mistake; the exception itself is its `__cause__`."""

    def located(self, places: Places) -> ConfigError:
        """Return the same error with the places of its findings filled in."""
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

    def explain(self, error: BaseException) -> BaseException:
        """Return what to raise for `error`: a report of it, chained to it, or itself where it says all that is known.

        An exception that shows a secret even so is not chained, since whatever prints the chain would print the secret.
        """
        if isinstance(error, TrainingInterrupted):
            return error
        hidden = hide_in(error)
        components = ComponentIndex(self.config, self.built, [each.program for each in self.ir.generated])
        failure = Failure(error, Raised.of(error), components, self.ir, self.places)
        if isinstance(error, ConfigError):
            return self.attribute(error, failure)
        explained = ComponentError.of([masked_finding(report(failure))])
        explained.__cause__ = error if hidden else None
        return explained

    def attribute(self, error: ConfigError, failure: Failure) -> ConfigError:
        """Return the same mistakes, with those at no place of the config at the component that found them."""
        if failure.component is None:
            return error
        findings = [self.place_under(failure.component.path, finding) for finding in error.findings]
        if findings == list(error.findings):
            return error
        placed = ConfigError.of(findings)
        placed.__cause__ = error.__cause__
        return placed

    def place_under(self, path: ConfigPath, finding: Finding) -> Finding:
        """Put a finding at `path`: a component may know its arguments by name, or only its section, and no more."""
        own = finding.config_path
        if finding.location is not None:
            return finding
        if own == path[: len(own)]:
            return replace(finding, config_path=path)
        return finding if own[0] in self.config else finding.under(path)


def report(failure: Failure) -> Finding:
    """Return the report of a failure's kind, or a bare one where some object cannot even be described."""
    try:
        return next(found for make in REPORTS if (found := make(failure)) is not None)
    except Exception:  # noqa: BLE001 - a __repr__ that fails, say, shall not take the place of the error
        return failure.finding("failed", [failure.raised.summary], (), steps=failure.raised.steps, hint=MEND)
