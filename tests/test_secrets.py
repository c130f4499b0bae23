"""Where a secret may stand in an experiment, where it is refused, and which stage asks for its value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otrainer.config import resolve_config
from otrainer.diagnostics.drawing import draw_error
from otrainer.errors import ConfigError
from otrainer.registry import build_registry
from otrainer.stages.definition import fingerprints
from otrainer.stages.fit.compose import build_parts
from otrainer.stages.plan import Plan, make_plan

PLUGIN = '''\
import torch

class Any_:
    """Takes everything."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs


class Data(Any_):
    def setup(self, stage=None): ...
    def train_dataloader(self): return []
    def val_dataloader(self): return []


class Read(Data):
    def files(self):
        return [self.kwargs["path"]]


class Signed(torch.optim.SGD):
    def __init__(self, params, lr=0.1, token=""):
        super().__init__(params, lr=lr)
        self.token = token


class Keyed(torch.nn.Linear):
    def __init__(self, in_features, out_features, key):
        super().__init__(in_features, out_features)
        self.key = key


def register(registry):
    registry.register_module("data.any", Data)
    registry.register_module("data.read", Read)
    registry.register_module("cb.any", Any_)
    registry.register_module("optim_cls.signed", Signed)
    registry.register_module("net.keyed", Keyed, signature_policy="best_effort")
'''
FITTING = """\
imports: [extensions.any]
params: {url: 'postgres://u:${secret:DB}@host', nested: {list: ['${secret:DB}', plain]}}
templates: {signed: {_type_: cb.any, token: '${secret:DB}'}}
data: {_merge_: replace, _value_: {_type_: data.any, _args_: ['${secret:DB}', '$${secret:DB}'],
  _kwargs_: {url: '${params.url}', all: '${params.nested}'}}}
optimizer: {type: optim_cls.signed, kwargs: {token: '${secret:SIGN}'}}
callbacks: [{_template_: signed, inner: {deep: [{_type_: cb.any, token: 'a-${secret:DB}-b'}]}}]
model: {sequential: {_merge_: replace, _value_: {layers: [
  {_type_: net.keyed, in_features: 32, out_features: 16, key: '${secret:DB}'}]}}}
"""
MISPLACED = """\
imports: [extensions.any]
params: {pw: '${secret:DB}', '${secret:DB}': 1}
run: {name: '${params.pw}', out_dir: runs/x, seed: '${secret:DB}', device: '${secret:DB}', resume_from: '${secret:DB}'}
trainer: {max_epochs: '${secret:DB}'}
data: {batch_size: '${secret:DB}'}
optimizer: {type: '${secret:DB}'}
callbacks: [{_type_: cb.any, inner: {_type_: '${secret:DB}'}}, {_type_: cb.model_checkpoint, save_dir: '${secret:DB}'}]
loggers: [{_type_: '${secret:DB}'}]
model:
  _merge_: replace
  _value_:
    graph:
      inputs: [x]
      modules: {a: {_type_: nn.Linear, in_features: 32, out_features: '${secret:DB}'}}
      nodes: [{name: b, call: 'module:a', args: [$x]}, {name: c, call: 'op:add', args: [$b, '${secret:DB}']}]
      outputs: [c]
"""


@pytest.fixture(autouse=True)
def plugin(project: Path) -> None:
    (project / "extensions/any.py").write_text(PLUGIN)


def plan(project: Path, text: str) -> Plan:
    """The plan of the baseline with `text` laid over it, from line 2 on."""
    path = project / "configs/experiments/probe.yaml"
    path.write_text(f"defaults: [baseline.yaml]\n{text}\n")
    config = resolve_config(path, root=project)
    return make_plan(config, build_registry(), fingerprints(project), experiment="probe", root=project)


def refusal(project: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        plan(project, text)
    return error.value


def test_components_get_the_value_and_the_plan_keeps_the_reference(project: Path, monkeypatch: Any) -> None:
    """As a whole and within a text, nested, by template and reference, positional, in plain data and in layers."""
    monkeypatch.setenv("DB", "hunter2-db")
    monkeypatch.setenv("SIGN", "hunter2-sign")

    planned = plan(project, FITTING)
    _, parts, _ = build_parts(planned, 0)

    assert parts.datamodule.args == ("hunter2-db", "${secret:DB}")
    assert parts.datamodule.kwargs == {
        "url": "postgres://u:hunter2-db@host",
        "all": {"list": ["hunter2-db", "plain"]},
    }
    outer = parts.callbacks[0].kwargs
    assert (outer["token"], outer["inner"]["deep"][0].kwargs["token"]) == ("hunter2-db", "a-hunter2-db-b")
    optimizer = parts.optimizer_factory.build(parts.model, registry=parts.registry)
    assert optimizer.token.endswith("-sign")
    assert parts.model.get_submodule("layers.0").key == "hunter2-db"
    assert "hunter2" not in str(planned.to_json())


def test_a_secret_is_refused_where_it_makes_no_sense(project: Path) -> None:
    """All at once, each at its place, and each once."""
    findings = refusal(project, MISPLACED).findings

    assert {finding.title for finding in findings} == {"secret out of place"}
    assert [(finding.location.line, finding.config_path) for finding in findings if finding.location] == [
        (3, ("params", "${secret:DB}")),
        (4, ("run", "name")),
        (4, ("run", "seed")),
        (4, ("run", "device")),
        (4, ("run", "resume_from")),
        (5, ("trainer", "max_epochs")),
        (6, ("data", "batch_size")),
        (7, ("optimizer", "type")),
        (8, ("callbacks", 0, "inner", "_type_")),
        (8, ("callbacks", 1, "save_dir")),
        (9, ("loggers", 0, "_type_")),
        (15, ("model", "graph", "modules", "a", "out_features")),
        (16, ("model", "graph", "nodes", 1, "args", 1)),
    ]


def test_a_misplaced_secret_is_drawn(project: Path) -> None:
    error = refusal(
        project,
        "run: {out_dir: 'runs/${secret:DB}'}\ncallbacks: [{_type_: cb.early_stopping, monitor: '${secret:DB}'}]",
    )
    assert (
        f"{draw_error(error)}\n"
        == """\
secret out of place ── configs/experiments/probe.yaml:2:16
  1 | defaults: [baseline.yaml]
  2 | run: {out_dir: 'runs/${secret:DB}'}
    |                ^^^^^^^^^^^^^^^^^^^
  A secret has no place in `run.out_dir`: it is written down with every run.
  It goes to a component of your own, as an argument; what may be seen is `${env:NAME}`.

secret out of place ── configs/experiments/probe.yaml:3:50
  2 | run: {out_dir: 'runs/${secret:DB}'}
  3 | callbacks: [{_type_: cb.early_stopping, monitor: '${secret:DB}'}]
    |                                                  ^^^^^^^^^^^^^^
  A secret has no place in `callbacks[0].monitor`: `cb.early_stopping` is otrainer's own, and none of those takes any.
  It goes to a component of your own, as an argument; what may be seen is `${env:NAME}`.
"""
    )


def test_what_is_read_before_components_are_built_cannot_be_secret(project: Path) -> None:
    error = refusal(
        project, "imports: ['${secret:DB}']\nsettings: {strict: '${secret:DB}', track_packages: ['${secret:DB}']}"
    )
    assert [(finding.title, finding.config_path) for finding in error.findings] == [
        ("secret out of place", ("imports", 0)),
        ("secret out of place", ("settings", "strict")),
        ("secret out of place", ("settings", "track_packages", 0)),
    ]


def test_a_file_named_by_a_secret_is_refused(project: Path, monkeypatch: Any) -> None:
    """What components read is written down by name."""
    monkeypatch.setenv("DB", "hunter2-db")
    text = "imports: [extensions.any]\ndata: {_merge_: replace, _value_: {_type_: data.read, path: 'a/${secret:DB}'}}"

    error = refusal(project, text)

    assert [(finding.title, finding.config_path) for finding in error.findings] == [("secret out of place", ("data",))]
    assert "hunter2" not in str(error)


def test_secrets_that_are_not_set_are_told_together_before_any_component_is_built(
    project: Path, monkeypatch: Any
) -> None:
    """Validating needs none, but for layers and for components that say which files they read, which it builds."""
    monkeypatch.delenv("DB", raising=False)
    monkeypatch.setenv("SIGN", "abc")
    text = FITTING[: FITTING.index("model:")]
    planned = plan(project, text)

    with pytest.raises(ConfigError) as error:
        build_parts(planned, 0)

    assert [(finding.title, finding.config_path) for finding in error.value.findings] == [
        ("missing secret", ("data", "_args_", 0)),
        ("missing secret", ("data", "_kwargs_", "url")),
        ("missing secret", ("data", "_kwargs_", "all", "list", 0)),
        ("secret too short", ("optimizer", "kwargs", "token")),
        ("missing secret", ("callbacks", 0, "token")),
        ("missing secret", ("callbacks", 0, "inner", "deep", 0, "token")),
    ]
    assert refusal(project, FITTING.replace("key: '", "key: 'x")).config_path == (
        "model",
        "sequential",
        "layers",
        0,
        "key",
    )
