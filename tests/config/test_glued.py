"""A blank that is missing after a colon is told first and alone, where a mapping is expected."""

from __future__ import annotations

import pytest

from .config_project import HEAD, Project


@pytest.mark.parametrize(
    ("text", "step", "line"),
    [
        ("run:\n  name:x\nparams: {a: '${run.name}'}\n", "Write `name: x`.", 4),
        ("run:\n  name:x\n  seed:3\n", "Write `name: x`.", 4),
        ("optimizer:\n  kwargs:\n    lr:0.1\n", "Write `lr: 0.1`.", 5),
        ("loss: _type_:loss.torch\n", "Write `_type_: loss.torch`.", 3),
        ("run:\n  name: x\n  seed:3\n", "Write `seed: 3`.", 5),
    ],
)
def test_it_is_told_alone(project: Project, text, step, line):
    (finding,) = project.error(f"{HEAD}{text}").findings
    assert (finding.hint, finding.location.line) == (step, line)
    assert "a blank is missing" in finding.message


def test_a_file_laid_over_a_base_is_told_at_its_own_line(project: Project):
    error = project.error(
        "defaults: [base.yaml]\nrun:\n  name:x\n", base=f"{HEAD}run: {{name: a, dir: '${{run.name}}'}}\n"
    )
    (finding,) = error.findings
    assert (finding.location.file.rpartition("/")[2], finding.location.line) == ("exp.yaml", 3)


@pytest.mark.parametrize("text", ["params: {a: 'b:c'}", "params: 'x:y'", "data: s3://bucket", "run: 12:30"])
def test_text_with_a_colon_is_text(project: Project, text):
    assert project.data(f"{text}\n")
