"""`doit explain` says of each component, op and section what it is, with its arguments and an example that is right."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from trained import ask, inside, lay_out

from otrainer.commands.explain.topics import OP, SECTION, Topic, section_topics, topics_of
from otrainer.config import ResolvedConfig, resolve_config
from otrainer.config.sections import KNOWN_SECTIONS, RUN_KEYS, SECTIONS
from otrainer.config.settings import SETTINGS
from otrainer.model import check_model
from otrainer.registry import build_registry, check_value
from otrainer.registry.build.instantiate import instantiate_value
from otrainer.registry.describe.interface import interface_of
from otrainer.stages.checks import find_mistakes

REPO = Path(__file__).parents[3]
CLASSES = tuple(section.cls for section in SECTIONS if section.cls)


@cache
def topics() -> dict[str, Topic]:
    return topics_of(interface_of(build_registry(), built_in=True), {})


@pytest.fixture
def project_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return lay_out(tmp_path)


def explained(root: Path, *names: str, **variables: str) -> str:
    outcome = ask("explain", root, *names, **variables)
    assert outcome.status == "ok", outcome.findings
    return outcome.report


def test_each_argument_of_what_is_built_in_has_a_meaning() -> None:
    """Of our own components all, by a sentence that names it in backticks; of torch's, those that torch says."""
    registry = build_registry()
    own = [name for name in registry.list_modules() if str(registry.get_module(name).factory).startswith("otrainer.")]
    silent = [f"{name}.{each.name}" for name in own for each in topics()[name].arguments if not each.doc]
    assert silent == []
    assert [name for name, each in topics().items() if not each.doc and not name.startswith("op:torch.")] == []


def test_every_section_with_all_its_keys_is_there() -> None:
    sections = section_topics()
    assert sections.keys() >= {*KNOWN_SECTIONS, "defaults", "templates"}
    assert [each.name for each in sections["run"].arguments] == list(RUN_KEYS)
    assert [each.name for each in sections["settings"].arguments] == list(SETTINGS)
    assert {each.name for each in sections["weights"].arguments} >= {"from", "only", "rename", "strict"}
    assert {each.name for each in sections["model"].arguments} >= {"sequential", "graph", "components"}
    assert all(each.doc for topic in sections.values() for each in topic.arguments)


@cache
def baseline() -> ResolvedConfig:
    return resolve_config(REPO / "configs/experiments/baseline.yaml", root=REPO)


def with_example(example: dict[str, Any]) -> ResolvedConfig:
    """The baseline with the sections of an example in the place of its own."""
    return replace(baseline(), data={**baseline().data, **example})


def test_the_example_of_each_component_is_a_config_that_is_right() -> None:
    """As validation judges it; modules of models and losses are built besides."""
    registry, wrong = build_registry(), {}
    registry.register_module("samples.mine", lambda: lambda ctx: "a text")
    for name, topic in topics().items():
        if topic.kind == OP:
            continue
        example = yaml.safe_load(topic.example)
        if findings := find_mistakes(with_example(example), registry):
            wrong[name] = findings
        if name.startswith(CLASSES):
            assert example[next(iter(example))]["type"] == name
            continue
        spec = next(each for each in specs_in(example) if each.get("_type_") == name)
        assert check_value(spec, registry=registry) == []
        if name.startswith("nn."):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's, of what it gives up
                instantiate_value(spec, registry=registry)
    assert wrong == {}


def specs_in(value: Any) -> Any:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from specs_in(each)


# What each of these takes the place of, where both at once are refused.
INSTEAD_OF = {"optim_factory.torch.args": ["kwargs"], "sched_factory.torch.args": ["kwargs"]}


def test_the_example_of_each_argument_whose_type_does_not_say_it_is_right() -> None:
    """Of our own components all that take lists, mappings or anything: each in the example of its component."""
    registry, interface, wrong = build_registry(), interface_of(build_registry(), built_in=True)["modules"], {}
    registry.register_module("tokenizer.mine", lambda: lambda line: [len(line)])
    registry.register_module("samples.mine", lambda: lambda ctx: "a text")
    own = [name for name in registry.list_modules() if str(registry.get_module(name).factory).startswith("otrainer.")]
    for name in own:
        for each in topics()[name].arguments:
            kinds = interface[name]["arguments"][each.name]["values"].get("type", ["object"])
            if not {"array", "object"} & {*kinds}:
                assert not each.example
                continue
            example = yaml.safe_load(topics()[name].example)
            spec = next(found for found in specs_in(example) if found.get("_type_") == name)
            spec[each.name] = yaml.safe_load(each.example or "nothing")
            for other in INSTEAD_OF.get(f"{name}.{each.name}", ()):
                del spec[other]
            if not each.example or (findings := find_mistakes(with_example(example), registry)):
                wrong[f"{name}.{each.name}"] = findings
    assert wrong == {}


def test_an_argument_is_told_with_its_example_in_each_form(project_root: Path) -> None:
    key, example = "trainer.default.freeze", "[{match: backbone.*, until_epoch: 1}]"
    assert f"\n        for example freeze: {example}\n" in explained(project_root, KEY=key)
    assert f"For example `freeze: {example}`. |" in explained(project_root, KEY=key, FORMAT="markdown")
    (trainer,) = json.loads(explained(project_root, KEY=key, FORMAT="json"))
    assert trainer["arguments"][0]["example"] == example


def test_the_example_of_each_section_is_right_too() -> None:
    """All at once, but for those that name files of a project."""
    example: dict[str, Any] = {}
    for name, topic in section_topics().items():
        assert list(yaml.safe_load(topic.example)) == [name]
        if name not in ("templates", "params", "defaults", "weights", "imports"):
            example |= yaml.safe_load(topic.example)
    example["run"]["out_dir"] = "runs/mine"
    assert [finding.message for finding in find_mistakes(with_example(example), build_registry())] == []


def test_a_component_is_told_with_its_arguments(project_root: Path) -> None:
    text = explained(project_root, KEY="cb.early_stopping")

    assert text.startswith(
        "cb.early_stopping  (built in)\n"
        "  Stop after `patience` looks in a row without an improvement of `monitor` by more than `min_delta`.\n"
    )
    assert "    patience: integer, default 3\n        Stop after `patience` looks in a row" in text
    assert '    every: text, default "validation"\n        By `every` it looks' in text
    assert text.endswith("\n\n  example:\n    callbacks:\n    - {_type_: cb.early_stopping}")


def test_a_field_of_a_section_is_told_alone(project_root: Path) -> None:
    assert explained(project_root, KEY="run.precision").splitlines()[:5] == [
        "run  (built in)",
        "  What the run is called, where it goes, and on what it runs.",
        "",
        "  keys:",
        '    precision: one of fp32, bf16-mixed, fp16-mixed, bf16, default "fp32"',
    ]
    (trainer,) = json.loads(explained(project_root, KEY="trainer.default.max_steps", FORMAT="json"))
    assert [each["name"] for each in trainer["arguments"]] == ["max_steps"]
    several = json.loads(explained(project_root, KEY="trainer.max_steps", FORMAT="json"))
    assert [each["key"] for each in several] == ["trainer.default"]


def test_a_pattern_an_op_and_several_names_are_told_together(project_root: Path) -> None:
    found = json.loads(explained(project_root, KEY="cb.*,op:add,weights,cb.early_stopping", FORMAT="json"))
    assert [each["key"] for each in found] == [
        "cb.early_stopping",
        "cb.lr_monitor",
        "cb.model_checkpoint",
        "cb.profiler",
        "cb.samples",
        "cb.throughput",
        "op:add",
        "weights",
    ]
    assert explained(project_root, KEY="add") == explained(project_root, KEY="op:add")
    assert "## `cb.early_stopping`" in explained(project_root, KEY="cb.*", FORMAT="markdown")


def test_a_mistyped_name_is_answered_by_the_nearest(project_root: Path) -> None:
    for wrong, near in {
        "optim_factory.trch": "optim_factory.torch",
        "run.precison": "run.precision",
        "trainer.max_stepz": "trainer.max_steps",
        "weigths": "weights",
    }.items():
        outcome = ask("explain", project_root, KEY=wrong)
        assert outcome.status == "failed"
        assert near in outcome.findings[0].suggestions


def test_without_a_name_all_are_listed_by_their_kinds(project_root: Path) -> None:
    report = explained(project_root)
    lines = report.splitlines()
    assert lines[0] == SECTION
    names = {line.split()[0] for line in lines if line.startswith("  ")}
    assert names >= topics().keys() | section_topics().keys()
    assert "modules of torch.nn" in lines


def test_what_plugins_register_is_told_with_its_place(project_root: Path) -> None:
    """With an experiment that imports them, as they are; without one, as they were when one was last read."""
    (project_root / "extensions/odd.py").write_text(
        "import os\n"
        "def odd(size: int = 1, token: str = os.environ.get('ODD', '')):\n"
        '    """Be odd; `size` says how much."""\n'
        "def register(registry):\n"
        "    registry.register_module('cb.odd', odd)\n"
    )
    experiment = "defaults: [a.yaml]\nimports: [extensions.parts, extensions.odd]\nrun: {name: odd}\n"
    (project_root / "configs/experiments/odd.yaml").write_text(experiment)
    with inside(project_root):
        (found,) = json.loads(explained(project_root, "odd", KEY="cb.odd", FORMAT="json"))
    assert found["registered"] == "by extensions.odd, extensions/odd.py:5"
    assert [each["name"] for each in found["arguments"]] == ["size", "token"]
    assert found["arguments"][0] == {
        "name": "size",
        "type": "integer",
        "required": False,
        "default": 1,
        "meaning": "`size` says how much.",
    }
    assert ask("explain", project_root, KEY="cb.odd").status == "failed"


def test_the_example_of_each_op_is_a_call_that_it_takes() -> None:
    registry = build_registry()
    examples = {name: yaml.safe_load(each.example) for name, each in topics().items() if each.kind == OP}
    assert len(examples) > 170
    for name, steps in examples.items():
        graph = {"inputs": ["x", "y", "w"], "steps": steps, "outputs": ["z"]}
        assert check_model({"graph": graph}, registry=registry) == [], name
