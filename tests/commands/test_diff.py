"""`doit diff` compares value by value, with both origins, then code, data and versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from incremental.steps import edit, write
from trained import BASE, HELPER, A, ask, listing, train

from .reasons import RUN, in_json

B = "configs/experiments/b.yaml"
SCALES = f"loss.scale\n  2.0  # {BASE}:8\n  1.0  # {BASE}:8"


@pytest.fixture
def kept(root: Path) -> Path:
    """The kept run of an earlier definition; experiment and current run have another scale."""
    edit(BASE, "scale: 1.0", "scale: 2.0")(root)
    train(root)
    return next((root / "runs/.kept/a").iterdir())


def difference(root: Path, other: str) -> str:
    before = listing(root)
    outcome = ask("diff", root, "a", WITH=other)
    assert outcome.status == "ok", outcome.report
    assert listing(root) == before
    return outcome.report


def refusal(root: Path, *names: str, **variables: str) -> str:
    outcome = ask("diff", root, *names, **variables)
    assert outcome.status == "failed"
    return outcome.drawn


def test_two_experiments_are_compared_value_by_value_with_both_origins(root: Path) -> None:
    write("configs/experiments/b.yaml", "defaults: [a.yaml]\nrun: {seed: 1}\nmetrics: []\nloss: {scale: null}\n")(root)
    edit(BASE, "loggers: {_merge_: replace, _value_: []}\n", "")(root)
    edit(A, "run:", "loggers: {_merge_: append, _value_: [{_type_: log.stdout}]}\nrun:")(root)
    write(B, f"{(root / B).read_text()}loggers: {{_merge_: replace, _value_: [{{_type_: log.stdout}}]}}\n")(root)

    assert difference(root, "b") == (
        "a | b\n"
        f"run.seed\n  0  # {A}:4\n  1  # {B}:2\n"
        f"loss.scale\n  1.0  # {BASE}:8\n  null  # {B}:4\n"
        "loggers[0] (does not retrain)\n"
        '  {"_type_": "log.stdout", "every_n_steps": 10}  # configs/base/runtime.yaml:48\n  nothing\n'
        f"metrics (does not retrain)\n  nothing\n  []  # {B}:3\n"
        "code: not compared, since that of b is not known (`doit validate EXP=b` finds it)"
    )


def test_an_experiment_does_not_differ_from_itself_nor_from_its_run(root: Path) -> None:
    assert difference(root, "a") == "a | a\nNo difference."
    assert difference(root, "runs/a") == "a | runs/a\nNo difference."


def test_nan_does_not_differ_from_nan(root: Path) -> None:
    write(A, f"{(root / A).read_text()}params: {{missing: .nan, list: [.nan]}}\n")(root)
    edit(A, "SEED,0", "SEED,1")(root)  # a note alone would train nothing
    train(root)

    assert difference(root, "a") == "a | a\nNo difference."
    assert difference(root, "runs/a") == "a | runs/a\nNo difference."
    edit(A, "missing: .nan", "missing: 0.0")(root)
    assert "params.missing (does not retrain)\n" in difference(root, "runs/a")
    assert "list" not in ask("why", root, "a").report


def test_an_order_of_keys_is_a_difference(root: Path) -> None:
    edit(BASE, "_type_: loss.counted, scale: 1.0", "scale: 1.0, _type_: loss.counted")(root)

    assert difference(root, "runs/a") == (
        f"a | runs/a\nloss\n  keys: scale, _type_  # {BASE}:8\n  keys: _type_, scale  # {BASE}:8"
    )


@pytest.mark.parametrize("naming", ["folder", "path", "absolute path", "definition", "its beginning", "slash"])
def test_a_kept_run_is_named_in_many_ways(root: Path, kept: Path, naming: str) -> None:
    inside = kept.relative_to(root).as_posix()
    definition = kept.name.rpartition("-")[2]
    names = {
        "folder": kept.name,
        "path": inside,
        "absolute path": str(kept),
        "definition": definition,
        "its beginning": definition[:4],
        "slash": f"./{inside}/",
    }

    assert difference(root, names[naming]) == f"a | {inside}\n{SCALES}"


def test_what_begins_several_runs_is_refused_with_their_names(root: Path, kept: Path) -> None:
    edit(BASE, "scale: 2.0", "scale: 3.0")(root)
    train(root)
    both = sorted(path.relative_to(root).as_posix() for path in (root / "runs/.kept/a").iterdir())

    assert refusal(root, "a", WITH=kept.name[:4]) == (
        f"ambiguous run\n  `{kept.name[:4]}` begins 2 runs: {both[0]}, {both[1]}.\n"
        "  `doit runs` shows all runs, the kept ones with their definitions."
    )


def test_a_name_that_is_neither_is_refused_with_the_nearest(root: Path) -> None:
    write("configs/experiments/baseline.yaml", "defaults: [a.yaml]\n")(root)

    assert refusal(root, "a", WITH="basline") == (
        "unknown experiment or run\n"
        "  There is neither an experiment nor a run `basline`. Did you mean `baseline` or `base`?\n"
        "  `doit list` shows all experiments, `doit runs` all runs; four letters of a definition do."
    )


def test_without_another_side_the_ways_to_name_one_are_told(root: Path) -> None:
    assert refusal(root, "a") == (
        "WITH is missing\n  There is nothing to compare with.\n"
        "  Add `WITH=` and an experiment, a run's folder, or the definition of a kept run (`doit runs` shows it)."
    )


def test_one_experiment_is_compared_at_a_time(root: Path) -> None:
    assert refusal(root, "a", "base", WITH="a") == (
        "several experiments\n  EXP names several experiments: a, base.\n"
        "  Name one by EXP and the other by WITH, as in `doit diff EXP=a WITH=base`."
    )


def test_a_side_that_does_not_resolve_is_drawn(root: Path) -> None:
    write("configs/experiments/b.yaml", "defaults: [a.yaml]\nrun: {seed: '${nothing}'}\n")(root)

    assert refusal(root, "a", WITH="b").startswith(f"unknown path ── {B}:2:14\n")


def test_code_data_and_versions_are_told_too(root: Path) -> None:
    edit(HELPER, "FACTOR = 2.0", "FACTOR = 3.0")(root)
    write("numbers.txt", "9 9 9")(root)
    in_json(RUN, versions={"left-pad": "1.3"})(root)
    first, code, data, *versions = difference(root, "runs/a").splitlines()

    assert (first, code, data) == ("a | runs/a", "code: extensions/helper.py: FACTOR", "data: numbers.txt")
    assert versions[-1] == "version: left-pad none | 1.3"
    assert any(line.startswith("version: torch 2") and line.endswith(" | none") for line in versions)


def test_code_read_by_other_rules_is_not_compared(root: Path) -> None:
    in_json("runs/a/code/fingerprints.json", rules="old")(root)

    assert difference(root, "runs/a") == (
        "a | runs/a\ncode: not compared, since this version of otrainer reads it in another way"
    )


def test_a_run_whose_places_are_lost_is_compared_without_them(root: Path, kept: Path) -> None:
    (kept / "code/sources.json").unlink()

    assert difference(root, kept.name) == f"a | {kept.relative_to(root)}\nloss.scale\n  2.0  # {BASE}:8\n  1.0"
