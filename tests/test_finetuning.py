"""Fine-tuning: a run that starts from the weights of another one, as plain torch does it, and when it trains anew."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
import warm
from projects import weights, write
from readme_pages import blocks
from torch import nn

from otrainer import load_model
from otrainer.errors import ConfigError
from otrainer.experiment import run_experiment

PLUGIN = """
import os
import signal

import torch


class Fixed:
    def __init__(self, outputs: int) -> None:
        generator = torch.Generator().manual_seed(5)
        self.batches = [
            {"x": torch.randn(8, 4, generator=generator), "y": torch.randn(8, outputs, generator=generator)}
            for _ in range(4)
        ]

    def train_dataloader(self):
        return self.batches


class Stop:
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_step_end(self, ctx):
        if ctx.state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


class Own:
    def fit(self, **parts):
        pass


def register(registry):
    registry.register_module("data.fixed", Fixed)
    registry.register_module("cb.stop", Stop)
    registry.register_module("trainer.own", Own)
"""
PRE = """
defaults: [baseline.yaml]
imports: [extensions.fixed]
run: {name: pre, seed: 3}
trainer: {max_epochs: 1}
data: {_merge_: replace, _value_: {_type_: data.fixed, outputs: 3}}
model:
  _merge_: replace
  _value_:
    graph:
      inputs: [x]
      modules:
        body: {_type_: nn.Linear, in_features: 4, out_features: 8}
        norm: {_type_: nn.BatchNorm1d, num_features: 8}
        head: {_type_: nn.Linear, in_features: 8, out_features: 3}
      steps:
        - {call: module:body, args: [$x], out: a}
        - {call: module:norm, args: [$a], out: b}
        - {call: module:head, args: [$b], out: y}
      outputs: [$y]
"""
FINE = """
defaults: [pre.yaml]
run: {name: fine, seed: 7}
trainer:
  max_epochs: 3
  freeze: [{match: [body.*, norm.*], until_step: 5}]
data: {outputs: 2}
model: {graph: {modules: {head: {out_features: 2}}}}
optimizer: {groups: [{match: [body.*, norm.*], lr_scale: 0.1}]}
weights: {from: runs/pre/checkpoints/last.pt, only: [body.*, norm.*]}
"""
STOP = "callbacks: {_merge_: append, _value_: [{_type_: cb.stop, step: STEP}]}\n"
FROM = "runs/pre/checkpoints/last.pt"


@pytest.fixture
def pair(project: Path) -> Path:
    """A project with a run `pre` that is trained, and an experiment `fine` that starts from it."""
    (project / "extensions/fixed.py").write_text(PLUGIN)
    write(project, "pre", PRE)
    write(project, "fine", FINE)
    run_experiment("configs/experiments/pre.yaml")
    return project


def fixed(outputs: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(5)
    return [
        {"x": torch.randn(8, 4, generator=generator), "y": torch.randn(8, outputs, generator=generator)}
        for _ in range(4)
    ]


def by_hand(pretrained: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Plain torch: the backbone's weights in, frozen for five steps with its norm in evaluation mode, then slower."""
    torch.manual_seed(7)
    model = nn.ModuleDict({"body": nn.Linear(4, 8), "norm": nn.BatchNorm1d(8), "head": nn.Linear(8, 2)})
    kept = {name: value for name, value in pretrained.items() if not name.startswith("head")}
    model.load_state_dict({**model.state_dict(), **kept})
    backbone = [*model["body"].parameters(), *model["norm"].parameters()]
    groups = [{"params": [*model["head"].parameters()]}, {"params": backbone, "lr": 1e-3 * 0.1}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
    for step in range(12):
        batch = fixed(2)[step % 4]
        for parameter in backbone:
            parameter.requires_grad_(step >= 5)
        model["norm"].train(step >= 5)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model["head"](model["norm"](model["body"](batch["x"]))), batch["y"])
        loss.backward()
        optimizer.step()
    return model.state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_backbone_with_another_head_is_fine_tuned_as_plain_torch_does_it(pair: Path) -> None:
    """From a checkpoint, and bit for bit: buffers, the head's own initial weights, freezing, rates of both groups."""
    run_experiment("configs/experiments/fine.yaml")

    assert equal(weights("runs/fine"), by_hand(weights("runs/pre")))
    assert equal(load_model("runs/fine").state_dict(), weights("runs/fine"))


@pytest.mark.parametrize("step", [1, 4, 5, 6])
def test_a_run_that_is_stopped_goes_on_without_loading_them_again(pair: Path, step: int) -> None:
    config = pair / "configs/experiments/fine.yaml"
    config.write_text(FINE + STOP.replace("STEP", str(step)))
    with pytest.raises(SystemExit):
        run_experiment("configs/experiments/fine.yaml")
    config.write_text(FINE + STOP.replace("STEP", "-1"))
    done = warm.doit(pair, "resume", "EXP=fine")

    assert done.returncode == 0, done.stdout + done.stderr
    assert equal(weights("runs/fine"), by_hand(weights("runs/pre")))


def test_the_content_of_the_file_decides_whether_it_trains_anew(pair: Path) -> None:
    """Not its time, and not how it lies on the disk."""
    done = warm.doit(pair, "train", "EXP=fine")
    assert f"weights: 7 tensors of `{FROM}` are taken; left are `head.weight`, `head.bias`." in done.stdout
    for touch in (lambda path: os.utime(path), lambda path: shutil.copy(shutil.move(path, "aside.pt"), path)):
        touch(FROM)
        said = warm.doit(pair, "train", "EXP=fine").stdout
        assert "-- fit:fine" in said
        assert ".  fit:fine" not in said
    torch.save({name: value + 1 for name, value in weights("runs/pre").items()}, FROM)
    why = warm.doit(pair, "why", "EXP=fine").stdout
    said = warm.doit(pair, "train", "EXP=fine").stdout

    assert f"The data file `{FROM}` changed." in why
    assert ".  fit:fine" in said


def test_what_is_taken_and_left_is_listed(pair: Path) -> None:
    said = " ".join(warm.doit(pair, "show", "EXP=fine", "MODEL=1").stdout.split())

    assert f"weights: 7 tensors of `{FROM}` are taken; left are `head.weight`, `head.bias`." in said


def test_widths_that_the_first_batch_decides_come_before_the_weights(pair: Path) -> None:
    text = FINE + "trainer: {max_epochs: 1}\n"
    text = text.replace(
        "{head: {out_features: 2}}",
        "{body: {_merge_: replace, _value_: {_type_: mlp, dims: [null, 8]}}, head: {out_features: 2}}",
    )
    text = text.replace("only: [body.*, norm.*]", "only: [body.*, norm.*], rename: {body: body.0}")
    text = text.replace("trainer:\n  max_epochs: 3\n  freeze: [{match: [body.*, norm.*], until_step: 5}]\n", "")
    write(pair, "fine", text.replace("lr_scale: 0.1", "lr: 0.0, weight_decay: 0.0"))
    run_experiment("configs/experiments/fine.yaml")
    before, after = weights("runs/pre"), weights("runs/fine")

    assert torch.equal(after["body.0.weight"], before["body.weight"])
    assert torch.equal(after["norm.weight"], before["norm.weight"])
    assert after["norm.num_batches_tracked"] == before["norm.num_batches_tracked"] + 4


def test_a_width_of_another_file_is_told_once_the_first_batch_is_seen(pair: Path) -> None:
    torch.save({"body.0.weight": torch.zeros(8, 5), "body.0.bias": torch.zeros(8)}, "w.pt")
    text = PRE.replace("{_type_: nn.Linear, in_features: 4, out_features: 8}", "{_type_: mlp, dims: [null, 8]}")
    write(pair, "wide", text.replace("name: pre", "name: wide") + "weights: {from: w.pt, only: body.*}\n")
    with pytest.raises(ConfigError) as caught:
        run_experiment("configs/experiments/wide.yaml")

    (finding,) = caught.value.findings
    assert finding.message == "`body.0.weight` has shape [8, 5] in `w.pt`, and [8, 4] in the model."
    assert finding.config_path == ("weights", "from")


def test_a_checkpoint_of_which_a_bit_changed_is_refused(pair: Path) -> None:
    content = bytearray(Path(FROM).read_bytes())
    content[len(content) // 2] ^= 1
    Path(FROM).write_bytes(content)
    done = warm.doit(pair, "validate", "EXP=fine")

    assert done.returncode != 0
    assert f"`{FROM}` cannot be started from: it is damaged" in done.stderr


@pytest.mark.parametrize(
    ("file", "said"),
    [('"a\\0b.pt"', "is no path"), ("runs/fine/last.pt", "in the folder of this run"), ("runs", "a folder")],
)
def test_what_cannot_be_a_file_of_weights_is_told(pair: Path, file: str, said: str) -> None:
    write(pair, "fine", FINE.replace(FROM, file))
    with pytest.raises(ConfigError, match=said) as caught:
        run_experiment("configs/experiments/fine.yaml")

    assert [each.config_path for each in caught.value.findings] == [("weights", "from")]


def test_a_trainer_that_infers_widths_itself_is_not_left_without_the_weights(pair: Path) -> None:
    """Nothing would load them: it is told, and not passed over."""
    body = "{body: {_merge_: replace, _value_: {_type_: mlp, dims: [null, 8]}}, head: {out_features: 2}}"
    text = FINE.replace("{head: {out_features: 2}}", body).replace("[body.*, norm.*]}", "[norm.*]}")
    head, _, tail = text.partition("trainer:")
    rest = tail[tail.index("data:") :]
    write(pair, "fine", f"{head}trainer: {{_merge_: replace, _value_: {{_type_: trainer.own}}}}\n{rest}")
    with pytest.raises(ConfigError, match="cannot start from weights before it trains"):
        run_experiment("configs/experiments/fine.yaml")


@pytest.mark.parametrize("value", ["null", "[]"])
def test_null_is_the_same_as_no_weights(pair: Path, value: str) -> None:
    """So that an experiment may leave away what its base starts from."""
    write(pair, "pre", f"{PRE}weights: {value}\n")

    assert "step" not in warm.doit(pair, "train", "EXP=pre").stdout


@pytest.fixture
def adapted(project: Path) -> Path:
    """The project of the guide's adapters, with the baseline trained."""
    for block in blocks("extensions/README.md"):
        if block.file in ("extensions/adapters.py", "configs/experiments/adapted.yaml"):
            (project / block.file).write_text(block.text)
    run_experiment("configs/experiments/baseline.yaml")
    return project


def test_the_adapters_of_the_guide_begin_as_the_run_and_leave_its_weights_alone(adapted: Path) -> None:
    run_experiment("configs/experiments/adapted.yaml")
    before, after = weights("runs/baseline"), weights("runs/adapted")

    for old, new in (("layers.0.0", "layers.0"), ("layers.0.3", "layers.2")):
        for name in ("weight", "bias"):
            assert torch.equal(after[f"{new}.{name}"], before[f"{old}.{name}"])
        assert after[f"{new}.up"].any()


def test_the_adapters_of_the_guide_change_nothing_before_they_are_trained(adapted: Path) -> None:
    config = adapted / "configs/experiments/adapted.yaml"
    config.write_text(config.read_text() + "optimizer: {kwargs: {lr: 0.0}}\n")
    run_experiment(config)
    x = torch.randn(5, 32)

    assert torch.equal(load_model("runs/adapted")(x), load_model("runs/baseline")(x))
