"""`doit why`: for each stage of an experiment whether it would run, and everything that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.diagnostics.drawing import draw_error
from otrainer.diagnostics.say import in_a_line
from otrainer.stages.built import configured_run_dir
from otrainer.stages.freshness.chain import chain_note
from otrainer.stages.freshness.decide import EVALUATE, RUNS, Verdict, decide_evaluation
from otrainer.stages.freshness.explain import explain
from otrainer.storage.runs.evaluations import Asked, read_evaluations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otrainer.commands import Question
    from otrainer.storage.experiments import Experiment

MOST = 12
WIDTH = len("validate")


def why(question: Question) -> str:
    """Return the verdicts on the experiments' stages, one experiment after the other."""
    return "\n\n".join(verdicts_of(experiment, question) for experiment in question.experiments)


def verdicts_of(experiment: Experiment, question: Question) -> str:
    verdicts, error = explain(experiment, question.root)
    if note := chain_note(experiment, question.root):
        verdicts["fit"] = verdicts["fit"]._replace(notes=(note, *verdicts["fit"].notes))
    lines = [f"{experiment.name}:"]
    for stage, verdict in verdicts.items():
        lines += stage_lines(stage, verdict)
    for asked, verdict in evaluations_of(experiment, question.root, is_trained=verdicts["fit"].is_up_to_date):
        lines += stage_lines(EVALUATE, verdict._replace(notes=(f"On `{asked.split}` with `{asked.checkpoint}`.",)))
    if error is not None:
        lines += ["", draw_error(error)]
    return "\n".join(lines)


def evaluations_of(experiment: Experiment, root: Path, *, is_trained: bool) -> Iterator[tuple[Asked, Verdict]]:
    """Yield the evaluations that are kept of a run, each with what would become of it now."""
    run_dir = configured_run_dir(experiment, root)
    for each in read_evaluations(run_dir) if run_dir is not None else ():
        asked = Asked(each["split"], each["checkpoint"])
        due = Verdict(RUNS, ("The training before it would run.",))
        yield asked, decide_evaluation(experiment, root, asked) if is_trained else due


def stage_lines(stage: str, verdict: Verdict) -> list[str]:
    """Return the verdict, and below it each reason on a line; of very many the rest is counted."""
    said = [*verdict.reasons[:MOST]]
    if len(verdict.reasons) > MOST:
        said.append(f"And {len(verdict.reasons) - MOST} more{verdict.more and f': {verdict.more}'}.")
    below = [text for text in [*said, *verdict.notes] if text]
    return [f"  {stage:<{WIDTH}}  {verdict.word}", *(f"  {'':<{WIDTH}}    {in_a_line(text)}" for text in below)]
