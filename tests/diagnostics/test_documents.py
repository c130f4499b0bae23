"""JSON and SARIF say what the drawn report says; SARIF is held against its schema, and against its own references."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from otrainer.diagnostics.documents import document
from otrainer.diagnostics.rules import rule_id
from otrainer.errors import Finding, SourceLocation

SCHEMA = json.loads(Path(__file__).with_name("sarif-2.1.0-reduced.json").read_text())
BASE = "configs/日本 base.yaml"
UNKNOWN = Finding(
    "There is no section `schduler`.",
    "unknown section",
    ("schduler",),
    location=SourceLocation(BASE, 2, 1),
    on_key=True,
    suggestions=("scheduler",),
    hint="A next step.",
    related=(("first given here", SourceLocation(BASE, 1, 1)),),
    includes=(SourceLocation("exp.yaml", 1, 12),),
    doing="validating",
    experiments=("a", "b"),
)
PATH = Finding(
    "There is no `run.nmae`.",
    "unknown path",
    ("x", 0),
    location=SourceLocation(BASE, 3, 8),
    suggestions=("run.name", "name"),
)
QUOTED = Finding("No component is registered as `mlpp`.", location=SourceLocation(BASE, 4, 4), suggestions=("mlp",))
CRASH = Finding("the component's own", "RuntimeError", details="Traceback ...", doing="training", experiments=("a",))
FAR = Finding("`x` is wrong.", location=SourceLocation("/far away/x.yaml", 9, 1))
ALL = [UNKNOWN, PATH, QUOTED, CRASH, FAR]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    Path(BASE).write_text("loss: {}\nschduler: {}\nx: [a, ${run.nmae}]\nk: 'mlpp'\n", encoding="utf-8")
    Path("exp.yaml").write_text("defaults: [base.yaml]\n")


def written(form: str, *findings: Finding) -> Any:
    files = {"a": "configs/experiments/a.yaml", "b": "configs/experiments/b.yaml"}
    return json.loads(document(form, findings, Path.cwd(), files))


def results(*findings: Finding) -> list[Any]:
    sarif = written("sarif", *findings)
    checker = jsonschema.Draft4Validator.FORMAT_CHECKER
    jsonschema.Draft4Validator(SCHEMA, format_checker=checker).validate(sarif)
    (run,) = sarif["runs"]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert run["originalUriBaseIds"]["%SRCROOT%"]["uri"] == f"{Path.cwd().as_uri()}/"
    found: list[Any] = run["results"]
    return found


def test_json_holds_each_finding_under_stable_names() -> None:
    whole = written("json", UNKNOWN, CRASH)

    assert (whole["version"], whole["tool"]["name"], set(whole)) == (1, "otrainer", {"version", "tool", "findings"})
    assert whole["findings"] == [
        {
            "rule": "unknown-section",
            "severity": "error",
            "title": "unknown section",
            "message": "There is no section `schduler`. Did you mean `scheduler`?",
            "hint": "A next step.",
            "details": "",
            "file": BASE,
            "line": 2,
            "col": 1,
            "end_col": 9,
            "config_path": ["schduler"],
            "suggestions": ["scheduler"],
            "related": [{"role": "first given here", "file": BASE, "line": 1, "col": 1}],
            "includes": [{"file": "exp.yaml", "line": 1, "col": 12}],
            "doing": "validating",
            "experiments": ["a", "b"],
        },
        {
            "rule": "runtime-error",
            "severity": "error",
            "title": "RuntimeError",
            "message": "the component's own",
            "hint": "",
            "details": "Traceback ...",
            **dict.fromkeys(("file", "line", "col", "end_col")),
            "config_path": [],
            "suggestions": [],
            "related": [],
            "includes": [],
            "doing": "training",
            "experiments": ["a"],
        },
    ]


def test_nothing_found_is_an_empty_list() -> None:
    assert written("json")["findings"] == []
    assert results() == []


def test_sarif_is_valid_whatever_was_found() -> None:
    assert len(results(*ALL)) == len(ALL)
    broken = json.loads(json.dumps(written("sarif", UNKNOWN)))
    del broken["runs"][0]["results"][0]["message"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SCHEMA, jsonschema.Draft4Validator)


def test_sarif_has_the_place_in_characters_and_how_the_file_came_in() -> None:
    (result,) = results(UNKNOWN)
    (location,) = result["locations"]
    file = {"uri": "configs/%E6%97%A5%E6%9C%AC%20base.yaml", "uriBaseId": "%SRCROOT%"}

    assert (result["ruleId"], result["level"]) == ("unknown-section", "error")
    assert result["message"]["text"] == "There is no section `schduler`. Did you mean `scheduler`? A next step."
    assert location["physicalLocation"] == {
        "artifactLocation": file,
        "region": {"startLine": 2, "startColumn": 1, "endColumn": 9},
    }
    assert location["logicalLocations"] == [{"fullyQualifiedName": "schduler"}]
    assert [each["message"]["text"] for each in result["relatedLocations"]] == [
        "first given here",
        "included by this entry",
    ]
    assert result["properties"] == {"experiments": ["a", "b"]}


def test_what_has_no_place_stands_at_its_experiment_and_what_lies_elsewhere_has_a_whole_uri() -> None:
    crash, far = results(CRASH, FAR)

    assert crash["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "configs/experiments/a.yaml"
    assert crash["properties"]["details"] == "Traceback ..."
    assert far["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "file:///far%20away/x.yaml"}
    assert "locations" not in results(Finding("`EXP=x` names nothing."))[0]


def test_a_fix_replaces_the_name_and_nothing_around_it() -> None:
    for finding, fixed in (
        (UNKNOWN, ["scheduler: {}"]),
        (PATH, ["x: [a, ${run.name}]", "x: [a, ${name}]"]),
        (QUOTED, ["k: 'mlp'"]),
    ):
        (result,) = results(finding)
        lines = []
        for fix in result["fixes"]:
            (replacement,) = fix["artifactChanges"][0]["replacements"]
            region, text = replacement["deletedRegion"], replacement["insertedContent"]["text"]
            line = Path(BASE).read_text(encoding="utf-8").splitlines()[region["startLine"] - 1]
            lines.append(line[: region["startColumn"] - 1] + text + line[region["endColumn"] - 1 :])
        assert lines == fixed


def test_no_fix_is_offered_where_the_text_is_not_the_name_that_is_meant() -> None:
    other = Finding("There is no op `ad`.", location=SourceLocation(BASE, 2, 1), suggestions=("add",))

    assert "fixes" not in results(other)[0]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("`_type_` is needed", "type-is-needed"),
        ("invalid YAML", "invalid-yaml"),
        ("OSError", "oserror"),
        ("«»", "error"),
    ],
)
def test_a_rule_is_called_by_the_words_of_its_title(title: str, name: str) -> None:
    assert rule_id(title) == name
