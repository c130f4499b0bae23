"""Validation finds what would fail in training, without training, at the place to edit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from otrainer.config import resolve_config
from otrainer.errors import ConfigError, Finding
from otrainer.experiment import run_experiment
from otrainer.registry import build_registry
from otrainer.stages.definition import fingerprints
from otrainer.stages.plan import Plan, make_plan
from otrainer.stages.resolve import resolve_fully

ONE_CYCLE = (
    "scheduler: {_type_: sched_factory.torch, type: sched_cls.OneCycleLR, kwargs: {total_steps: auto, max_lr: 1}}"
)
REPLACED = "{_merge_: replace, _value_: "


def plan(project: Path, text: str) -> Plan:
    """The plan of the baseline with `text` laid over it, from line 2 on."""
    path = project / "configs/experiments/probe.yaml"
    path.write_text(f"defaults: [baseline.yaml]\n{text}\n")
    config = resolve_config(path, root=project)
    return make_plan(config, build_registry(), fingerprints(project), experiment="probe", root=project)


def findings(project: Path, text: str) -> tuple[Finding, ...]:
    with pytest.raises(ConfigError) as error:
        plan(project, text)
    return error.value.findings


CASES = [
    ("optimizer: {kwargs: {lr: -1}}", "{lr", "Invalid learning rate"),
    ("optimizer: {kwargs: {lr: fast}}", "fast", "`lr` of `AdamW` is a number, not the text `fast`"),
    ("optimizer: {kwargs: [1]}", "[1]", "`optimizer.kwargs` is a mapping"),
    ("optimizer: {type: optim_cls.AdamX}", "optim_cls", "No component is registered as `optim_cls.AdamX`"),
    ("scheduler: {_type_: sched_factory.torch, type: sched_cls.StepLR}", "{_type_", "step_size"),
    ("scheduler: {_type_: sched_factory.torch, type: sched_cls.ReduceLROnPlateau}", "{_type_", "needs `monitor`"),
    (
        "scheduler: {_type_: sched_factory.torch, type: sched_cls.ReduceLROnPlateau, interval: step}",
        "step}",
        "steps by a metric",
    ),
    (
        "scheduler: {_type_: sched_factory.torch, type: sched_cls.ReduceLROnPlateau, interval: metric}",
        "{_type_",
        "needs `monitor`",
    ),
    (
        "scheduler: {_type_: sched_factory.torch, type: sched_cls.StepLR, kwargs: {step_size: 1}, interval: epoc}",
        "epoc",
        "step, epoch or metric",
    ),
    ("trainer: {max_epochs: two}", "two", "`max_epochs` of `trainer.default` is a whole number"),
    ("trainer: {accumulate: {tokns: 8}}", "tokns", "no key `tokns`"),
    ("trainer: {accumulate: {tokens: 8}, grad_accum_steps: 2}", "{tokens", "not both"),
    (ONE_CYCLE + "\ntrainer: {accumulate: {tokens: 8}}", "auto", "which is not known"),
    ("trainer: {grad_clip_norm: -1}", "-1", "grad_clip_norm is a number above 0"),
    ("data: {batch_size: 0}", "0", "batch_size is a whole number"),
    ("io: {model_kwargs: {x: x}}", "x}}", "`model_kwargs.x` of `io.mapping` is a list"),
    ("io: {model_kwargs: {z: [x]}}", "z", "no input `z`"),
    ("loss: {fn: mse}", "mse", "`fn` of `loss.torch` is a mapping or a spec"),
    ("callbacks: [{_type_: cb.early_stopping, mode: mni}]", "mni", "`min` (less is better) or `max`"),
    ("callbacks: [{_type_: cb.model_checkpoint, save_dir: x, keep_last: 0}]", "0}", "keep_last is a whole number"),
    ("callbacks: [{_type_: cb.model_checkpoint}]", "{_type_", "needs the argument `save_dir`"),
    ("metrics: [{_type_: metric.torchmetrics, metric: Acuracy}]", "Acuracy", "no metric `Acuracy`"),
    ("loggers: [{_type_: log.stdout, every_n_steps: 0}]", "0", "every_n_steps is a whole number"),
    ("run: {resume_from: runs/no/last.pt}", "runs/no", "no checkpoint at `runs/no/last.pt`"),
    ("run: {resume_from: configs/base/runtime.yaml}", "configs", "is damaged"),
    ("params: {_tempalte_: x}", "_tempalte_", "no reserved key `_tempalte_`"),
    ("run: {device: gpu}", "gpu", "not a device that torch knows"),
    ("run: {precision: fp16-mixed}", "fp16", "needs a CUDA device"),
    (
        f"model: {REPLACED}{{sequential: {{layers: [{{_type_: mlp, dims: [null]}}]}}}}}}",
        "[null]",
        "at least two widths",
    ),
    (
        f"model: {REPLACED}{{sequential: {{layers: [{{_type_: nn.Linear, in_features: a, out_features: 1}}]}}}}}}",
        "a, out",
        "`in_features` of `nn.Linear` is a whole number, not the text `a`",
    ),
    (
        f"data: {REPLACED}{{_type_: data.dataset, train: {{_type_: dataset.arrays, path: no.npz}}}}}}",
        "{_type_: dataset.arrays",
        "no data file `no.npz`",
    ),
    ("imports: [extensions.digit]", "extensions", "no module `extensions.digit`"),
    ("imports: [os]", "os", "under no allowed prefix"),
]


@pytest.mark.parametrize(("text", "at", "words"), CASES, ids=[words for _, _, words in CASES])
def test_a_mistake_is_found_at_the_place_to_edit(project: Path, text: str, at: str, words: str) -> None:
    (finding,) = findings(project, text)

    assert words in finding.message
    assert finding.location is not None
    assert (finding.location.file, finding.location.line) == ("configs/experiments/probe.yaml", 2)
    assert text[finding.location.col - 1 :].startswith(at)


def test_failures_of_several_parts_come_together(project: Path) -> None:
    text = "trainer: {max_epochs: 0}\noptimizer: {kwargs: {lr: -1}}\nrun: {device: gpu}"

    assert [finding.location.line for finding in findings(project, text) if finding.location] == [2, 3, 4]


def test_what_fails_in_one_section_does_not_hide_what_is_unknown_in_another(project: Path) -> None:
    text = "trainer: {max_epochs: 0}\nloss: {fm: 1}\ncallbacks: [{_type_: cb.early_stopping, mode: mni}]"

    assert [finding.location.line for finding in findings(project, text) if finding.location] == [2, 3, 4]


HIDDEN = [
    ("trainer: {accumulate: {token: 5}, max_epoch: 3, checkpoint_activations: [nix]}", ["token", "max_epoch", "nix]"]),
    ("optimizer: {no_dcay: [bias], groups: [{match: no}, {match: nix}]}", ["no_dcay", "no}", "nix"]),
    ("optimizer: {kwargs: {lr: fast, bta: 1}, groups: [{match: nix}]}", ["fast", "bta", "nix"]),
    ("data: {batch_siz: 3, steps_per_epoch: -1, val_steps_per_epoch: -1}", ["batch_siz", "-1, val", "-1}"]),
    (
        "callbacks: [{_type_: cb.no}, {_type_: cb.ema, dcay: 1}, {_type_: cb.early_stopping, mode: a, patience: -1}]",
        ["cb.no", "cb.ema", "a, p", "-1}"],
    ),
    ("loss: {fn: {_type_: nn.L1Loss, igno: 1, reduction: 3}, logs: 3}", ["igno", "3}, l", "logs"]),
]


@pytest.mark.parametrize(("text", "places"), HIDDEN)
def test_a_mistake_does_not_hide_others_in_the_same_section(project: Path, text: str, places: list[str]) -> None:
    found = [finding.location for finding in findings(project, text)]
    assert [at.col for at in found if at] == [text.index(place) + 1 for place in places]


def test_only_what_has_a_default_is_to_be_left_out_where_it_is_null(project: Path) -> None:
    scheduler = (
        "scheduler: {_type_: sched_factory.torch, type: sched_cls.StepLR, kwargs: {step_size: null, gamma: null}}"
    )
    hints = [finding.hint for finding in findings(project, scheduler)]

    assert hints == [
        "Write `step_size: 8`, for example.",
        "Leave it out for its default, or write `gamma: 0.1`, for example.",
    ]


def test_a_group_of_nothing_but_what_is_frozen_for_good_is_found_before_training(project: Path) -> None:
    """What is frozen for a while may have a group, and a rule that is wrong is told once, where it stands."""
    group = "[{match: '*.0.0.*', lr_scale: 0.1}]"
    (finding,) = findings(project, f"trainer: {{freeze: [{{match: '*.0.0.*'}}]}}\noptimizer: {{groups: {group}}}")
    assert "`*.0.0.*` matches no parameter that trains" in finding.message
    assert finding.location is not None
    assert finding.location.line == 3
    for_a_while = f"trainer: {{freeze: [{{match: '*.0.0.*', until_step: 3}}]}}\noptimizer: {{groups: {group}}}"
    plan(project, for_a_while)
    assert len(findings(project, f"trainer: {{freeze: [{{match: nix}}]}}\noptimizer: {{groups: {group}}}")) == 1


FOLLOWS = [
    "scheduler: {_type_: sched_factory.torch, type: sched_cls.StepLR, kwargs: {step_siz: 1}}",
    "callbacks: [{_type_: cb.model_checkpoint, save_dr: x}]",
    "scheduler: {_type_: sched_factory.torch, type: sched_cls.ReduceLROnPlateau, monitr: val_loss}",
    "optimizer: {kwargs: {foreach: yes please}}",
]


@pytest.mark.parametrize("text", FOLLOWS)
def test_what_only_comes_of_a_mistake_is_not_told_beside_it(project: Path, text: str) -> None:
    assert len(findings(project, text)) == 1


def test_a_plugins_component_is_not_built_unless_it_declares_files(project: Path) -> None:
    (project / "extensions/shy.py").write_text(
        "class Shy:\n"
        "    def __init__(self):\n        raise RuntimeError('built')\n"
        "    def train_dataloader(self):\n        return []\n"
        "def register(registry):\n    registry.register_module('data.shy', Shy)\n"
    )
    plan(project, f"imports: [extensions.shy]\ndata: {REPLACED}{{_type_: data.shy}}}}")


def test_the_numbers_of_a_data_module_are_judged_without_a_plugins_dataset(project: Path) -> None:
    (project / "extensions/shy.py").write_text(
        "class Shy:\n"
        "    def __init__(self):\n        raise RuntimeError('built')\n"
        "    def __len__(self):\n        return 1\n"
        "    def __getitem__(self, index):\n        return index\n"
        "def register(registry):\n    registry.register_module('dataset.shy', Shy)\n"
    )
    text = f"imports: [extensions.shy]\ndata: {REPLACED}{{_type_: data.dataset, train: {{_type_: dataset.shy}}"
    (finding,) = findings(project, f"{text}, batch_size: 0}}}}")
    plan(project, f"{text}, batch_size: 1}}}}")

    assert "batch_size is a whole number from 1 on, not 0" in finding.message
    assert finding.location is not None and finding.location.line == 3


def test_each_callback_of_a_list_is_judged_beside_those_of_plugins_and_without_their_parts(project: Path) -> None:
    (project / "extensions/shy.py").write_text(
        "class Shy:\n"
        "    def __init__(self):\n        raise RuntimeError('built')\n"
        "    def __call__(self, ctx):\n        return 'text'\n"
        "def register(registry):\n"
        "    registry.register_module('samples.shy', Shy)\n    registry.register_module('cb.shy', Shy)\n"
    )
    sampler = "sampler: {_type_: samples.shy}"
    listed = (
        f"{{_type_: cb.shy}}, {{_type_: cb.early_stopping, patience: 0}}, {{_type_: cb.samples, {sampler}, columns: 0}}"
    )
    text = f"imports: [extensions.shy]\ncallbacks: {REPLACED}[{listed}]}}"
    told = {finding.config_path[:2]: finding.message for finding in findings(project, text)}

    assert told.keys() == {("callbacks", 1), ("callbacks", 2)}
    assert "columns is a whole number from 1 on, not 0" in told["callbacks", 2]
    plan(project, text.replace(", patience: 0", "").replace(", columns: 0", ""))


def test_a_failing_plugin_does_not_hide_the_other_mistakes(project: Path) -> None:
    (project / "extensions/failing.py").write_text("import nowhere\n")
    text = "imports: [extensions.failing]\nschduler: {}\ntrainer: {max_epoch: 1}\nmetrics: [{_type_: metric.of_mine}]"
    found = findings(project, text)

    assert {finding.title: str(finding.location) for finding in found} == {
        "unknown section": "configs/experiments/probe.yaml:3:1",
        "unknown argument": "configs/experiments/probe.yaml:4:11",
        "plugin failed": "extensions/failing.py:1:1",
    }


def definition(project: Path, text: str) -> str:
    return plan(project, text).definition


def test_the_definition_is_the_same_for_the_same_config_in_any_order_of_sections(project: Path) -> None:
    one = definition(project, "run: {seed: 3}\ntrainer: {max_epochs: 3}")

    assert definition(project, "trainer: {max_epochs: 3}\nrun: {seed: 3}") == one
    assert definition(project, "trainer: {max_epochs: 3}\nrun: {seed: 3}\n# a comment") == one


@pytest.mark.parametrize("change", ["run: {seed: 1}", "trainer: {max_epochs: 3}", "optimizer: {kwargs: {eps: 1.0e-7}}"])
def test_every_value_counts(project: Path, change: str) -> None:
    assert definition(project, change) != definition(project, "run: {seed: 0}")


def test_a_checkpoint_to_resume_from_counts_by_content_not_by_path(project: Path) -> None:
    def resumed(path: str) -> Any:
        return definition(project, f"run: {{resume_from: {path}}}")

    run_experiment(project / "configs/experiments/baseline.yaml")
    checkpoints = project / "runs/baseline/checkpoints"
    for name, source in {"a.pt": "step_10.pt", "b.pt": "step_10.pt", "c.pt": "step_20.pt"}.items():
        shutil.copy(checkpoints / source, project / name)

    assert resumed("a.pt") == resumed("b.pt")
    assert resumed("a.pt") != resumed("c.pt")


def test_the_plan_says_what_is_trained(project: Path) -> None:
    made = plan(project, f"model: {REPLACED}{{sequential: {{layers: [{{_type_: nn.Linear, _args_: [32, 16]}}]}}}}}}")

    assert made.model == {
        "inputs": ["x"],
        "layers": {"layers": "ModuleList", "layers.0": "Linear"},
        "parameters": 32 * 16 + 16,
    }
    assert {row["key"] for row in made.code} >= {"trainer.default", "nn.MSELoss", "optim_cls.AdamW", "nn.Linear"}
    assert Plan.from_json(made.to_json()) == made


OPS = (
    "def double(x):\n    return x * 2\n"
    "def register(registry):\n    registry.register_op('double', 'extensions.arithmetic:double')\n"
)


@pytest.mark.parametrize("module", ["arithmetic", "quiet"])
def test_code_counts_that_is_called_by_a_graph_or_acts_when_it_is_imported(project: Path, module: str) -> None:
    (project / "extensions/arithmetic.py").write_text(OPS)
    (project / "extensions/quiet.py").write_text("import torch\ntorch.set_printoptions(precision=4)\n")
    text = (
        "imports: [extensions.arithmetic, extensions.quiet]\n"
        f"model: {REPLACED}{{graph: {{inputs: [x], modules: {{fc: {{_type_: nn.Linear, _args_: [32, 16]}}}}, "
        "nodes: [{name: a, call: op:double, args: [$x], out: h}, {name: b, call: module:fc, args: [$h], out: y}], "
        "outputs: [$y]}}}"
    )
    before = definition(project, text)
    path = project / f"extensions/{module}.py"
    path.write_text(path.read_text() + "# a comment\n")
    assert definition(project, text) == before
    path.write_text(path.read_text().replace("2", "3").replace("4", "5"))

    assert definition(project, text) != before


def test_what_an_expression_broke_is_told_once(project: Path) -> None:
    """A section that could not be resolved is not tried, since it would fail over the expression's raw text."""
    path = project / "configs/experiments/probe.yaml"
    path.write_text(
        "defaults: [baseline.yaml]\n"
        "scheduler: {_type_: sched_factory.torch, type: sched_cls.StepLR, kwargs: {step_size: '${run.nmae}'}}\n"
        "trainer: {max_epochs: 0}\n"
    )
    with pytest.raises(ConfigError) as error:
        resolve_fully(path, project)

    assert [finding.config_path for finding in error.value.findings] == [
        ("scheduler", "kwargs", "step_size"),
        ("trainer", "max_epochs"),
    ]


@pytest.mark.parametrize("text", ["007", "12e34", "1.10", "0x1F", "true", "8e5"])
def test_a_name_that_yaml_reads_as_something_else_is_told_as_it_stands(
    project: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(project)
    (finding,) = findings(project, f"run: {{name: {text}, seed: 1}}")
    assert f"not `{text}`, which YAML reads as a" in finding.message
    assert finding.hint == f'Write it in quotes: `name: "{text}"`.'
    assert finding.suggestions == ()


def test_a_config_without_a_model_is_told_that_and_what_is_wrong_besides(project: Path) -> None:
    path = project / "configs/experiments/probe.yaml"
    path.write_text("schema_version: 1\nrun: {name: a, out_dir: runs/a, sede: 1}\n")
    with pytest.raises(ConfigError) as error:
        resolve_fully(path, project)

    assert {("model",), ("run", "sede")} <= {finding.config_path for finding in error.value.findings}


DECLARING = """
class Declaring:
    def __init__(self, named):
        self.named = named

    def files(self):
        return self.named

    def setup(self, stage=None): ...

    def train_dataloader(self):
        return []

def register(registry):
    registry.register_module("data.declaring", Declaring)
"""


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("/", "`files()` of `data.declaring` returned '/', which is not a list of paths."),
        ("null", "`files()` of `data.declaring` returned None, which is not a list of paths."),
        ("[x, 3]", "`files()` of `data.declaring` returned ['x', 3], which is not a list of paths."),
        ("[none.npz]", "There is no data file `none.npz`."),
        ("[folder]", "`folder/link`: No such file or directory."),
    ],
)
def test_what_a_component_declares_as_data_is_looked_at(project: Path, named: str, message: str) -> None:
    """Text is no list: its letters would be taken for files, and a `/` among them for the whole disk."""
    (project / "extensions/declaring.py").write_text(DECLARING)
    (project / "folder").mkdir()
    (project / "folder/link").symlink_to("nowhere")
    text = f"imports: [extensions.declaring]\ndata: {REPLACED}{{_type_: data.declaring, named: {named}}}}}"
    (finding,) = findings(project, text)

    assert (finding.message, str(finding.location)) == (message, "configs/experiments/probe.yaml:3:35")
