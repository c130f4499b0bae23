"""What doit tells of failures: each mistake once, none of them late."""

from __future__ import annotations

import io
import pickle
from types import SimpleNamespace

import pytest
from doit.exceptions import DependencyError, TaskError, UnmetDependency

from otrainer.errors import Finding, SourceLocation
from otrainer.tasks.interrupts import Interrupts
from otrainer.tasks.reporter import StageFailed, StageReporter


@pytest.fixture
def reporter(monkeypatch):
    monkeypatch.setattr(StageReporter, "interrupts", Interrupts(), raising=False)
    return StageReporter(io.StringIO(), {})


def task(name):
    return SimpleNamespace(name=name, meta=None, actions=[1], title=lambda: name)


def failed(name, *findings):
    doing = {"doing": "validating", "experiments": (name,)}
    return StageFailed(
        Finding(message, location=SourceLocation(file, line, 1), **doing) for message, file, line in findings
    )


def ended(reporter):
    with pytest.raises(SystemExit) as stop:
        reporter.complete_run()
    return stop.value.code


def test_checks_tell_each_mistake_once_at_their_end_by_file_and_line(reporter, capsys):
    reporter.add_failure(task("validate:a"), failed("a", ("second", "b.yaml", 2), ("both", "a.yaml", 1)))
    reporter.add_failure(task("validate:b"), failed("b", ("both", "a.yaml", 1), ("first", "b.yaml", 1)))
    reporter.add_failure(task("fit:b"), UnmetDependency("validate:b"))
    assert capsys.readouterr().err == ""

    assert ended(reporter) == 1
    assert capsys.readouterr().err == (
        "invalid config ── a.yaml:1:1\n  both\n  while validating a and b\n\n"
        "invalid config ── b.yaml:1:1\n  first\n  while validating b\n\n"
        "invalid config ── b.yaml:2:1\n  second\n  while validating a\n"
    )


def test_a_training_holds_no_report_back(reporter, capsys):
    reporter.add_failure(task("validate:a"), failed("a", ("both", "a.yaml", 1)))
    reporter.execute_task(task("validate:c"))
    assert capsys.readouterr().err == ""
    reporter.execute_task(task("fit:c"))
    assert capsys.readouterr().err == "invalid config ── a.yaml:1:1\n  both\n  while validating a\n"
    reporter.add_failure(task("validate:d"), failed("d", ("both", "a.yaml", 1), ("new", "a.yaml", 2)))
    assert ended(reporter) == 1
    assert capsys.readouterr().err == (
        "invalid config ── a.yaml:2:1\n  new\n  while validating d\ninvalid config ── a.yaml:1:1 ── again in d\n"
    )


def test_an_interruption_loses_no_report(reporter, capsys):
    reporter.add_failure(task("validate:a"), failed("a", ("wrong", "a.yaml", 1)))
    reporter.interrupts.exit_code = 130

    assert ended(reporter) == 130
    assert "wrong" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [DependencyError, TaskError])
def test_what_doit_cannot_run_is_a_report_too(reporter, capsys, kind):
    reporter.add_failure(task("validate:a"), kind("Dependent file 'x' does not exist."))

    assert ended(reporter) == 1
    assert capsys.readouterr().err == (
        "task failed\n  Dependent file 'x' does not exist.\n  while running `validate:a`\n"
    )


def test_what_stops_doit_is_told_at_the_end(reporter, capsys):
    reporter.runtime_error("Task x and its dependencies form a circle.")
    reporter.complete_run()

    assert capsys.readouterr().err == "doit cannot go on\n  Task x and its dependencies form a circle.\n"


def test_a_failure_comes_whole_from_another_process_of_doit():
    """`doit -n 2` sends it through a pipe."""
    sent = failed("a", ("wrong", "a.yaml", 1))

    assert pickle.loads(pickle.dumps(sent)).findings == sent.findings  # noqa: S301 - written a moment ago
