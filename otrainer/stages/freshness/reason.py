"""Say why a stage is about to run, in one line: the first of what `doit why` would say; of a resume, all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.diagnostics.say import in_a_line
from otrainer.errors import ConfigError
from otrainer.stages.built import record_path
from otrainer.stages.freshness.decide import FIT, RESUME, RUNS, TRAINING, UNTOLD, Verdict, decide

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otrainer.storage.experiments import Experiment


class Reasons:
    """The reasons for the stages of one call of doit, each experiment's found before its first stage runs.

    Unless `whole`, only what `decide` says is given, which is cheap for a thousand experiments.
    """

    def __init__(self, root: Path, *, whole: bool) -> None:
        self.root, self.whole = root, whole
        self._found: dict[Experiment, dict[str, Verdict]] = {}

    def line(self, stage: str, experiment: Experiment) -> str:
        """Return the main reason in one sentence, with how many more there are; empty where there is none to give."""
        try:
            verdict = self.explained(stage, experiment)
            if verdict is None or verdict.word != RUNS:
                verdict = decide(stage, experiment, self.root)
        except (ConfigError, OSError, ValueError, LookupError, TypeError, AttributeError):
            return ""  # something is damaged: the stage itself will say so
        if verdict.word != RUNS:
            return ""
        reasons = tuple(map(in_a_line, verdict.reasons))
        # There is more to see where the run that is there is of another definition.
        return differences(reasons) if stage == RESUME and verdict.more else counted(reasons)

    def explained(self, stage: str, experiment: Experiment) -> Verdict | None:
        """Return the verdict of `doit why`, as it was before the first stage ran or, for training, can be told now."""
        if experiment not in self._found:
            self._found[experiment] = self.explain(experiment)
        name = FIT if stage in TRAINING else stage
        verdict = self._found[experiment].get(name)
        if name == FIT and verdict is not None and verdict.word == UNTOLD:
            return self.explain(experiment)[FIT]
        return verdict

    def explain(self, experiment: Experiment) -> dict[str, Verdict]:
        """Return the verdicts of `doit why`; none where nothing ran before, which costs nothing to tell."""
        if not self.whole or not record_path("resolve", experiment, self.root).exists():
            return {}
        from otrainer.config.limits import room_for_files
        from otrainer.stages.freshness.explain import explain  # yaml comes with it

        with room_for_files():
            verdicts, _ = explain(experiment, self.root)
        return verdicts


def differences(reasons: Sequence[str]) -> str:
    """Return all that differs from the run that is continued, a line each; one reason stands alone."""
    if len(reasons) == 1:
        return f"Differs from the checkpoint: {reasons[0]}"
    return "Differs from the checkpoint:\n" + "\n".join(f"     {reason}" for reason in reasons)


def counted(reasons: Sequence[str]) -> str:
    """Return the first of several, and the number of the others."""
    more = len(reasons) - 1
    if more < 1:
        return reasons[0]
    return f"{reasons[0].removesuffix('.')} (and {more} more reason{'' if more == 1 else 's'})."
