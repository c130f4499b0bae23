"""`doit validate FORMAT=json|sarif`: stdout is the document and nothing else, and all else is as without it."""

from __future__ import annotations

import json

import pytest

from .processes import STUB


@pytest.fixture(autouse=True)
def checked_before(project):
    """A manifest is there: a worker that is needed for the first one begins by importing torch."""
    for name in "abc":
        path = project.root / "build" / name / "manifest.json"
        path.parent.mkdir(parents=True)
        path.touch()


def findings(text, form):
    """The document's findings as (rule, file, experiments); the whole of stdout has to be that document."""
    whole = json.loads(text)
    if form == "json":
        return [(each["rule"], each["file"], each["experiments"]) for each in whole["findings"]]
    return [
        (
            each["ruleId"],
            each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            each["properties"]["experiments"],
        )
        for each in whole["runs"][0]["results"]
    ]


def test_all_findings_come_in_one_document_and_the_reports_on_stderr(project):
    project.write("a", "say: words on stdout\n")
    project.write("b", "wrong: validate\n")
    project.write("c", "wrong: validate\n")
    done = project.doit("validate", "FORMAT=sarif")

    assert done.code == 1
    assert findings(done.out, "sarif") == [
        ("wrong-value", "configs/experiments/b.yaml", ["b"]),
        ("wrong-value", "configs/experiments/c.yaml", ["c"]),
    ]
    assert "words on stdout" in done.err
    assert ".  validate:b" in done.err
    assert done.err.count("wrong value ── ") == 2


def test_a_clean_project_gives_an_empty_document_also_when_nothing_is_run(project):
    first, warm = project.doit("validate", "FORMAT=sarif"), project.doit("validate:a", "FORMAT=sarif")

    assert (first.code, warm.code) == (0, 0)
    assert findings(first.out, "sarif") == []
    assert warm.out == first.out
    assert "-- validate:a" in warm.err


def test_a_crash_is_a_finding_at_the_users_line(project):
    project.write("a", "crash: manifest\n")
    done = project.doit("validate", "FORMAT=sarif")

    assert done.code == 1
    assert findings(done.out, "sarif") == [("runtime-error", (STUB / "stub_stages.py").as_uri(), ["a"])]


def test_two_processes_of_doit_write_one_document(project):
    project.write("b", "wrong: validate\n")
    done = project.doit("-n", "2", "validate", "FORMAT=json")

    assert done.code == 1
    assert [names for _, _, names in findings(done.out, "json")] == [["b"]]


def test_a_mistake_on_the_command_line_is_in_the_document(project):
    done = project.doit("validate", "EXP=b", "FORMAT=json")

    assert done.code == 1
    assert findings(done.out, "json") == [("unknown-experiment", None, [])]
    assert done.err.startswith("unknown experiment\n")


def test_without_experiments_the_document_is_empty(project):
    (project.root / "configs/experiments/a.yaml").unlink()
    done = project.doit("validate", "FORMAT=json")

    assert (done.code, findings(done.out, "json")) == (0, [])
    assert done.err == "There is none yet: write `configs/experiments/NAME.yaml`.\n"


def test_a_signal_leaves_no_document_that_looks_whole(project, running):
    project.write("a", "wait: validate\n")
    process = project.start("validate", "FORMAT=json")
    for line in process.stderr:
        if line.strip() == "waiting":
            break
    process.terminate()
    out, _ = process.communicate()

    assert (process.returncode, out) == (143, "")


MISUSED = {
    "validate FORMAT=jsno": (
        "unknown format\n"
        "  Nothing is printed as `jsno`. Did you mean `json`?\n"
        "  Write `FORMAT=json` or `FORMAT=sarif`.\n"
    ),
    "train EXP=a FORMAT=json": (
        "misplaced variable\n"
        "  `FORMAT=json` belongs to `doit validate`, `doit audit` and `doit explain` alone.\n"
        "  Write `doit validate FORMAT=json`, with `EXP=NAME` for one experiment.\n"
    ),
}


@pytest.mark.parametrize("line", MISUSED)
def test_another_format_and_another_task_are_refused(project, line):
    done = project.doit(*line.split())

    assert (done.code, done.out) == (1, "")
    assert done.err == f"{MISUSED[line]}  while reading the command line\n"
    assert project.executed() == []
