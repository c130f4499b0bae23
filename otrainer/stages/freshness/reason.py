"""Why a stage is about to run, in one line: the first of what `doit why` would have said; of a resume, all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.errors import ConfigError
from otrainer.stages.artifacts import VERSIONS, current
from otrainer.stages.freshness.uptodate import validated_run, why_schema_stale
from otrainer.stages.freshness.verdict import RUNS, UNTOLD, Verdict
from otrainer.storage.records import why_stale
from otrainer.storage.runs.run_json import read_run, why_unfinished

RESUME = "resume"
SCHEMA = "schema"

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.storage.experiments import Experiment


class Reasons:
    """The reasons for the stages of one call of doit, each experiment's found before its first stage runs.

    Unless `whole`, only what the stages' own records say is told, which is cheap for a thousand experiments.
    """

    def __init__(self, root: Path, *, whole: bool) -> None:
        self.root, self.whole = root, whole
        self._found: dict[Experiment, dict[str, Verdict]] = {}

    def line(self, stage: str, experiment: Experiment) -> str:
        """The main reason in one sentence, with how many more there are; empty where there is none to tell."""
        try:
            if experiment not in self._found:
                self._found[experiment] = self.foretold(experiment)
            name = "fit" if stage == RESUME else stage
            verdict = self._found[experiment].get(name)
            if name == "fit" and verdict is not None and verdict.word == UNTOLD:
                verdict = self.foretold(experiment)[name]  # it can be told now that the stages before it ran
            if verdict is not None and verdict.word == RUNS:
                differ = stage == RESUME and verdict.more  # where the run that is there is of another definition
                return differences(verdict.reasons) if differ else counted(verdict.reasons)
            return plain_reason(stage, experiment, self.root)
        except (ConfigError, OSError, ValueError, LookupError, TypeError, AttributeError):
            return ""  # something is damaged: the stage itself will say so

    def foretold(self, experiment: Experiment) -> dict[str, Verdict]:
        """The verdicts of `doit why`; none where nothing ran before, which costs nothing to tell."""
        if not self.whole or not (self.root / experiment.built("resolve.record.json")).exists():
            return {}
        from otrainer.stages.freshness.forecast import Forecast

        return Forecast(experiment, self.root).verdicts()


def differences(reasons: list[str]) -> str:
    """All that differs from the run that is continued, a line each; one reason stands alone."""
    if len(reasons) == 1:
        return f"Differs from the checkpoint: {reasons[0]}"
    return "Differs from the checkpoint:\n" + "\n".join(f"     {reason}" for reason in reasons)


def counted(reasons: list[str]) -> str:
    """The first of several, and the number of the others."""
    more = len(reasons) - 1
    if more < 1:
        return reasons[0]
    return f"{reasons[0].removesuffix('.')} (and {more} more reason{'' if more == 1 else 's'})."


def plain_reason(stage: str, experiment: Experiment, root: Path) -> str:
    """What the stage's own record says, or the run directory."""
    if stage == SCHEMA:
        return why_schema_stale(root) or ""
    if stage not in VERSIONS:
        plan = validated_run(experiment, root)
        run_dir = root / plan["run_dir"] if plan else None
        if plan is None or run_dir is None or read_run(run_dir) is None:
            return "It was not trained yet."
        return why_unfinished(run_dir, plan["definition"]) or ""
    return why_stale(root / experiment.built(f"{stage}.record.json"), root=root, **current(stage, root)) or ""
