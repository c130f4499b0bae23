"""The task graph: an experiment goes from YAML to a trained model, and each stage runs only when it has to."""

from __future__ import annotations

from collections.abc import Iterator

from otrainer.tasks.project import Project, TaskDict

project = Project(__file__)


def task_resolve() -> Iterator[TaskDict]:
    """Turn an experiment's YAML files into one plain config."""
    for exp in project.selected:
        yield project.stage(
            "resolve",
            exp,
            uptodate=project.unchanged("resolve", exp),
            targets=[exp.built("resolved.json"), exp.built("sources.json"), exp.built("plugins.json")],
        )


def task_manifest() -> Iterator[TaskDict]:
    """List the components there are, each with a fingerprint of its code."""
    for exp in project.selected:
        yield project.stage(
            "manifest",
            exp,
            task_dep=[f"resolve:{exp.task_name}"],
            file_dep=[exp.built("plugins.json")],
            uptodate=project.unchanged("manifest", exp),
            targets=[exp.built("manifest.json")],
        )


def task_validate() -> Iterator[TaskDict]:
    """Check experiments from end to end without training (all, or EXP=NAME; FORMAT=json, sarif)."""
    for exp in project.selected:
        yield project.stage(
            "validate",
            exp,
            task_dep=[*project.begun_by(exp), f"resolve:{exp.task_name}", f"manifest:{exp.task_name}"],
            file_dep=[exp.built("resolved.json"), exp.built("manifest.json")],
            uptodate=project.unchanged("validate", exp),
            targets=[exp.built("validated.json")],
        )


def task_fit() -> Iterator[TaskDict]:
    """Train a validated experiment, unless its run is complete."""
    for exp in project.trained:
        yield project.stage(
            "fit",
            exp,
            task_dep=[f"validate:{exp.task_name}"],
            uptodate=project.finished(exp),
            targets=[exp.built("fit.json")],
        )


def task_resume() -> Iterator[TaskDict]:
    """Continue a run from its last checkpoint (the run interrupted last, or EXP=NAME)."""
    for exp in project.trained:
        yield project.stage(
            "resume",
            exp,
            task_dep=[f"validate:{exp.task_name}"],
            uptodate=project.finished(exp),
        )


def task_evaluate() -> Iterator[TaskDict]:
    """Evaluate a trained experiment (EXP=NAME, SPLIT=val|test|train, CHECKPOINT=best|last|PATH, PREDICTIONS=1)."""
    for exp in project.trained:
        yield project.evaluation(exp)


def task_verify_resume() -> Iterator[TaskDict]:
    """Prove that an experiment, stopped and continued, trains to the same bits (EXP=NAME)."""
    for exp in project.trained:
        yield project.stage("verify-resume", exp, task_dep=[f"validate:{exp.task_name}"], uptodate=[False])


def task_train() -> Iterator[TaskDict]:
    """Bring an experiment's run up to date: every stage that has to (EXP=NAME)."""
    yield {
        "basename": "train",
        "actions": None,
        "task_dep": [f"train:{exp.task_name}" for exp in project.trained],
    }
    for exp in project.listed:
        yield {
            "basename": f"train:{exp.task_name}",
            "actions": None,
            "task_dep": [f"fit:{exp.task_name}"],
            "doc": project.sentence(exp),
        }


def task_schema() -> TaskDict:
    """Write the JSON Schema by which editors check and complete configs (all experiments)."""
    return project.overall(
        "schema",
        task_dep=[f"manifest:{exp.task_name}" for exp in project.selected],
        uptodate=project.schema_is_current(),
        targets=["build/schema.json"],
    )


def task_why() -> TaskDict:
    """Say what would run for an experiment, and why, without running it (EXP=NAME)."""
    return project.query("why")


def task_show() -> TaskDict:
    """Print an experiment's config with all origins, or what its model takes (EXP=NAME, MODEL=1)."""
    return project.query("show")


def task_explain() -> TaskDict:
    """Explain components, ops and sections (KEY=NAME or a pattern, all, or EXP=NAME; FORMAT=json, markdown)."""
    return project.query("explain")


def task_diff() -> TaskDict:
    """Compare an experiment with another one or a kept run, value by value (EXP=NAME WITH=NAME)."""
    return project.query("diff")


def task_audit() -> TaskDict:
    """List every callable that an experiment's config reaches, without running any (EXP=NAME)."""
    return project.query("audit")


def task_runs() -> TaskDict:
    """List the runs there are, kept ones included, and what they take on the disk (all, or EXP=NAME)."""
    return project.query("runs")


def task_prune() -> TaskDict:
    """Remove kept runs: says which, and does it with YES=1 (all, or EXP=NAME)."""
    return project.query("prune")


DOIT_CONFIG = project.configure(globals())
