"""`doit show EXP=x MODEL=1`: a table of what is known of a model, the lines of what fails, and what is unchecked."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from trained import listing

from otrainer.commands.show_model import table
from otrainer.commands.show_model.memory import smallest_device
from otrainer.storage.experiments import find_experiment
from otrainer.tasks.worker.execute import execute

PROBE = "configs/experiments/probe.yaml"
REPLACED = "{_merge_: replace, _value_: "
PLUGIN = """
import numpy, torch
from torch import nn
from otrainer.components.io import ArgsKwargs
from otrainer.components.loss import LossOutput

class Branches(nn.Module):
    '''Goes by the numbers.'''
    def __init__(self, width=16):
        super().__init__()
        self.fc = nn.Linear(width, width)
    def forward(self, x):
        return self.fc(x) if x.mean() > 0 else x

class ByNumpy(nn.Module):
    def forward(self, x):
        return torch.from_numpy(numpy.tanh(x.detach().numpy()))

class Counts(nn.Module):
    def forward(self, x):
        return x[x.sum(1) > 0]

class Foreign(nn.Module):
    def forward(self, x):
        return torch.ops.probe.without_meta(x)

class TwoParts(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(32, 8), nn.Sequential(nn.ReLU(), nn.Linear(9, 16))
    def forward(self, x):
        return self.second(self.first(x))

@torch.library.custom_op("probe::without_meta", mutates_args=())
def without_meta(x: torch.Tensor) -> torch.Tensor:
    return x.clone()

class ReadingLoss:
    def __call__(self, *, outputs, targets, batch, stage):
        return LossOutput(outputs.square().mean() * float(targets["y"].std()))

class Undeclared:
    def __init__(self, count=1):
        self.count = count
    def train_dataloader(self):
        return [{"x": torch.zeros(5, 32), "y": torch.zeros(5, 16)}] * self.count

class Elsewhere:
    def __init__(self, token=""):
        self.token = token
    def train_dataloader(self):
        raise FileNotFoundError(f"no such file: {self.token}/data/images")

class ReadingIO:
    def split(self, batch, *, stage):
        return ArgsKwargs((batch["x"] / batch["x"].max().item(),)), {"y": batch["y"]}, None

class PairIO:
    def split(self, batch, *, stage):
        return ArgsKwargs((batch["x"], batch["y"])), {"y": batch["y"]}, None

class PlainIO:
    def example_batch(self):
        return torch.zeros(7, 32), torch.zeros(7, 16)
    def split(self, batch, *, stage):
        return ArgsKwargs((batch[0],)), {"y": batch[1]}, None

def register(registry):
    for cls in (Branches, ByNumpy, Counts, Foreign, TwoParts):
        registry.register_module(f"probe.{cls.__name__}", cls)
    registry.register_module("loss.reading", ReadingLoss)
    registry.register_module("data.undeclared", Undeclared)
    registry.register_module("data.elsewhere", Elsewhere)
    registry.register_module("io.plain", PlainIO)
    registry.register_module("io.reading", ReadingIO)
    registry.register_module("io.pair", PairIO)
"""


class Shown(NamedTuple):
    """What is known, and the mistakes."""

    report: str
    mistakes: str = ""


@pytest.fixture
def show(project: Path, monkeypatch):
    """Shows the baseline with `text` laid over it, from line 2 on; its machine has 16 GiB."""
    (project / "extensions/probe.py").write_text(PLUGIN)
    monkeypatch.setattr(table, "device_memory", lambda _device: 2**34)

    def shown(text: str) -> Shown:
        (project / PROBE).write_text(f"defaults: [baseline.yaml]\n{text}\n")
        outcome = execute("show-model", find_experiment("probe", project), project)
        assert outcome.status == ("failed" if outcome.findings else "ok")
        return Shown(outcome.report, outcome.drawn if outcome.findings else "")

    return shown


def model(*layers: str) -> str:
    lines = "".join(f"\n      - {layer}" for layer in layers)
    return f"imports: [extensions.probe]\nmodel:\n  _merge_: replace\n  _value_:\n    sequential:\n      layers:{lines}"


SKIP = """\
model:
  _merge_: replace
  _value_:
    graph:
      inputs: [x]
      modules:
        body: {_type_: mlp, dims: [32, 64, 32]}
        head: {_type_: nn.Linear, in_features: 32, out_features: 16}
      steps:
        - {call: module:body, args: [$x], out: hidden}
        - {call: op:add, args: [$x, $hidden], out: sum}
        - {call: module:head, args: [$sum], out: y}
      outputs: [$y]
"""
SHOWN = """\
4,720 parameters, a batch of 32 (declared by `data`), fp32 on cpu

node    layer            output    parameters   FLOPs     saved
x       input            [32, 32]
hidden  body: mlp        [32, 32]       4,192   262 K  12.0 KiB
  0     Linear           [32, 64]       2,112   131 K   4.0 KiB
  1     ReLU             [32, 64]                       8.0 KiB
  2     Linear           [32, 32]       2,080   131 K
sum     op:add           [32, 32]
y       head: nn.Linear  [32, 16]         528  32.8 K   4.0 KiB

weights      18.4 KiB
gradients    18.4 KiB
optimizer    36.9 KiB  AdamW
activations  20.0 KiB  saved for the backward pass
together     93.8 KiB  fits in 1 GiB; `cpu` has 16.0 GiB here
forward         295 K  FLOPs, the loss included
backward        459 K  FLOPs"""


def test_a_model_is_shown_node_by_node_and_in_all(show) -> None:
    assert show(SKIP) == (SHOWN, "")


def test_the_same_text_comes_out_each_time(show) -> None:
    assert show(SKIP) == show(SKIP)


def nodes(text: str) -> dict[str, str]:
    """The column `output` by node, as far as nodes are calls of the model itself."""
    rows = [line.split() for line in text.partition("\n\n")[2].partition("\n\n")[0].splitlines()[1:]]
    return {row[0]: row[2] for row in rows if "." in row[1] or ":" in row[1]}


LINEAR = "{_type_: nn.Linear, in_features: %d, out_features: %d}"


def test_a_shape_that_does_not_fit_has_the_line_of_its_node(show) -> None:
    report, mistakes = show(model(LINEAR % (32, 64), LINEAR % (33, 16), "{_type_: nn.ReLU}"))

    assert (
        mistakes
        == f"""\
model fails ── {PROBE}:9:9
  8 |       - {{_type_: nn.Linear, in_features: 32, out_features: 64}}
  9 |       - {{_type_: nn.Linear, in_features: 33, out_features: 16}}
    |         ^
  `layers.1` (nn.Linear) fails: RuntimeError: a and b must have same reduction dim, but got [32, 64] X [33, 16].
  It was given [32, 64]."""
    )
    assert nodes(report) == {"layers.0": "[32,", "layers.1": "fails", "layers.2": "unchecked"}
    assert "\nat least " in report
    assert "fits in" not in report


def test_a_graphs_node_has_the_line_of_its_call_and_that_of_its_module(show) -> None:
    _, mistakes = show(SKIP.replace("in_features: 32", "in_features: 31"))

    assert (
        mistakes
        == f"""\
model fails ── {PROBE}:13:11
  12 |         - {{call: op:add, args: [$x, $hidden], out: sum}}
  13 |         - {{call: module:head, args: [$sum], out: y}}
     |           ^
  `y` (head: nn.Linear) fails: RuntimeError: a and b must have same reduction dim, but got [32, 32] X [31, 16].
  `head` is written: {PROBE}:9:15
  It was given [32, 32]."""
    )


def test_nodes_that_do_not_depend_on_each_other_are_all_told(show) -> None:
    text = SKIP.replace("[32, 64, 32]", "[null, 64, 31]").replace("args: [$sum]", "args: [$x]")
    _, mistakes = show(text.replace("in_features: 32", "in_features: 8"))

    assert [line.partition(" ── ")[2] for line in mistakes.splitlines() if " ── " in line] == [
        f"{PROBE}:12:11",
        f"{PROBE}:13:11",
    ]
    assert "It was given [32, 32], [32, 31]." in mistakes


def test_the_module_inside_of_a_block_is_named_with_what_it_was_given(show) -> None:
    _, mistakes = show(model("{_type_: mlp, dims: [null, 32]}", "{_type_: probe.TwoParts}"))

    assert "  `layers.1` (probe.TwoParts) fails in its `second.1`: RuntimeError: a and b must have same " in mistakes
    assert mistakes.endswith("  It was given [32, 8].")


def test_a_lazy_layer_that_does_not_fit_is_told_as_any_other(show) -> None:
    lazy = "{_type_: nn.LazyConv2d, out_channels: 4, kernel_size: 3}"
    report, mistakes = show(model(LINEAR % (32, 16), lazy))

    assert nodes(report) == {"layers.0": "[32,", "layers.1": "fails"}
    assert mistakes.startswith(f"model fails ── {PROBE}:9:9\n")


UNCHECKED = {
    "Branches": "it asks a tensor for its numbers, and there are none.",
    "ByNumpy": "RuntimeError: .numpy() is not supported for tensor subclasses.",
    "Counts": "how large the result of `aten.",
    "Foreign": "RuntimeError: There was no fake impl registered for <CustomOpDef(probe::without_meta)>.",
}


@pytest.mark.parametrize("name", UNCHECKED)
def test_what_needs_numbers_is_unchecked_and_not_wrong(show, name: str) -> None:
    report, mistakes = show(model(LINEAR % (32, 16), f"{{_type_: probe.{name}}}", LINEAR % (17, 16)))

    assert mistakes == ""
    assert nodes(report) == {"layers.0": "[32,", "layers.1": "unchecked", "layers.2": "unchecked"}
    note = f"`layers.1` (probe.{name}) is unchecked, and so is what depends on it: {UNCHECKED[name]}"
    assert note in " ".join(report.split())
    assert "\nat least " in report


def test_a_forward_that_is_missing_is_wrong(show) -> None:
    _, mistakes = show(model("{_type_: nn.ModuleList}"))

    assert 'is missing the required "forward" function' in mistakes


def test_a_loss_that_needs_numbers_leaves_its_place_to_a_sum(show) -> None:
    report, mistakes = show(f"imports: [extensions.probe]\nloss: {REPLACED}{{_type_: loss.reading}}}}")

    assert mistakes == ""
    assert "The loss is unchecked, and the sum of the outputs stands for it:" in report
    assert "\nbackward        262 K  FLOPs\n" in report


def test_a_loss_that_fails_is_told_with_the_shapes_of_both_sides(show) -> None:
    refusing = f"loss: {{fn: {REPLACED}{{_type_: nn.BCEWithLogitsLoss}}}}}}"
    report, mistakes = show(f"{refusing}\ndata: {{y_shape: [15]}}")

    assert mistakes.startswith(f"loss fails ── {PROBE}:2:7\n")
    assert "Target size (torch.Size([32, 15])) must be the same as input size (torch.Size([32, 16]))" in mistakes
    assert mistakes.endswith("  It was given outputs [32, 16] and targets {y: [32, 15]}.")
    assert nodes(report) == {}


def test_an_input_that_no_batch_has_is_told_at_its_path(show) -> None:
    _, mistakes = show("io: {model_kwargs: {x: [z]}}")

    assert mistakes.startswith(f"no such path ── {PROBE}:2:24\n")


def test_mistakes_come_before_anything_is_followed(show) -> None:
    report, mistakes = show(model(LINEAR % (32, 16)).replace("in_features", "in_feature"))

    assert report == ""
    assert "Did you mean `in_features` or" in mistakes


def plugin(section: str, key: str) -> str:
    return f"{section}: {REPLACED}{{_type_: {key}}}}}\n"


def test_a_batch_is_taken_from_data_that_declares_none(show) -> None:
    text = f"imports: [extensions.probe]\n{plugin('data', 'data.undeclared')}"

    assert show(text).report.startswith("3,152 parameters, a batch of 5 (the first of training), fp32 on cpu\n")


def test_io_may_declare_a_batch_too(show) -> None:
    text = f"imports: [extensions.probe]\n{plugin('data', 'data.elsewhere')}{plugin('io', 'io.plain')}"

    assert show(text).report.startswith("3,152 parameters, a batch of 7 (declared by `io`), fp32 on cpu\n")


def test_without_a_batch_parameters_are_shown_and_how_to_declare_one(show) -> None:
    text = f"{model(LINEAR % (32, 16), '{_type_: mlp, dims: [null, 8]}')}\n{plugin('data', 'data.elsewhere')}"

    assert show(text) == (
        """\
528 parameters, fp32 on cpu

node      layer      parameters
layers.0  nn.Linear         528
layers.1  mlp

weights  2.1 KiB

Widths that a batch decides are not counted: in `layers.1`.

No shapes are known: `data` raised FileNotFoundError: no such file:
/data/images.

Give the class of `data` (or `io`) a method `example_batch()` that returns a
batch; tensors may be on `meta`.""",
        "",
    )


def test_a_secret_is_not_told_even_where_it_would_be_broken_into_lines(show, monkeypatch) -> None:
    monkeypatch.setenv("TOKEN", "a long token " * 8)
    data = plugin("data", "data.elsewhere").replace("where}", "where, token: '${secret:TOKEN}'}")
    report = show(f"imports: [extensions.probe]\n{data}").report

    assert "no such file: ${secret:TOKEN}/data/images." in " ".join(report.split())
    assert "token" not in report.replace("${secret:TOKEN}", "")


def test_io_that_reads_numbers_gets_a_batch_that_has_them(show) -> None:
    text = f"imports: [extensions.probe]\n{plugin('io', 'io.reading')}"

    assert show(text).report.startswith("3,152 parameters, a batch of 32 (the first of training), fp32 on cpu\n")


def test_data_that_gives_nothing_is_said_to(show) -> None:
    text = f"imports: [extensions.probe]\n{plugin('data', 'data.undeclared').replace('red}', 'red, count: 0}')}"

    assert "No shapes are known: the training data yields no batch.\n" in show(text).report


def test_inputs_that_the_model_does_not_have_are_told(show) -> None:
    _, mistakes = show(f"imports: [extensions.probe]\n{plugin('io', 'io.pair')}")

    assert "  `io` gives 2 by position and none by name, and the model has the inputs `x`." in mistakes


def test_an_optional_input_that_nothing_fills_is_shown_with_its_default(show) -> None:
    text = SKIP.replace("[x]\n", "[x, {shift: 0.5}, {mask: null}]\n").replace("[$x, $hidden]", "[$x, $hidden, $shift]")
    report, _ = show(text)

    assert "x       input            [32, 32]\nshift   input            0.5\nmask    input            None\n" in report


@pytest.mark.parametrize(("colours", "expected"), [("", "\x1b[1m4,720 parameters"), ("1", "4,720 parameters")])
def test_a_terminal_gets_colours_unless_it_wants_none(show, monkeypatch, colours: str, expected: str) -> None:
    monkeypatch.setenv("NO_COLOR", colours)
    monkeypatch.setattr(table, "is_terminal", lambda: True)

    assert show(SKIP).report.startswith(expected)


@pytest.mark.parametrize(("size", "gib"), [(1, 1), (2**30, 2), (21 * 2**30, 24), (22 * 2**30, 32), (300 * 2**30, 330)])
def test_what_fits_leaves_a_tenth_to_spare(size: int, gib: int) -> None:
    assert smallest_device(size) == gib


def test_averages_of_the_weights_count_where_the_trainer_takes_some(show) -> None:
    """As many bytes as what is trained: of buffers, a BatchNorm's mean and variance, only where they are averaged."""
    layers = model("{_type_: nn.BatchNorm1d, num_features: 32}", LINEAR % (32, 64), LINEAR % (64, 16))
    parameters = 4 * (2 * 32 + 33 * 64 + 65 * 16)

    def averages(trainer: str) -> list[str]:
        return [line for line in show(f"{layers}\n{trainer}").report.splitlines() if line.startswith("averages")]

    assert averages("") == []
    for trainer in ("ema: {decay: 0.9}", "swa: {from_step: 10}"):
        assert averages(f"trainer: {{{trainer}}}") == [f"averages     {parameters / 1024:.1f} KiB  of the weights"]
    with_buffers = (parameters + 2 * 4 * 32) / 1024
    (line,) = averages("trainer: {ema: {decay: 0.9, buffers: averaged}}")
    assert line == f"averages     {with_buffers:.1f} KiB  of the weights"


def test_a_device_that_torch_does_not_know_is_a_mistake(show) -> None:
    assert show("run: {device: gpu}").mistakes.startswith(f"unknown device ── {PROBE}:2:15\n")


def test_a_device_that_is_not_here_is_said_to_be_taken_for_another(show) -> None:
    report = show("run: {device: cuda, precision: fp16-mixed}\noptimizer: {type: optim_cls.SGD}").report

    assert report.startswith("3,152 parameters, a batch of 32 (declared by `data`), fp16-mixed on cuda\n")
    assert "  0       Linear   fp16[32, 64]       2,112   131 K   2.0 KiB\n" in report
    assert "\noptimizer         0 B  SGD\n" in report
    assert "fits in 1 GiB\n" in report
    assert report.endswith("There is no `cuda` here: what its kernels keep is taken as on the CPU.")


def test_numbered_layers_that_are_alike_are_one_row(show) -> None:
    block = "{_type_: mlp, dims: [32, 8, 32]}"
    report = show(model(LINEAR % (32, 32), *[block] * 12, LINEAR % (32, 16))).report

    names = [line.split()[0] for line in report.splitlines() if line.startswith("layers.")]
    assert names == ["layers.0", "layers.1-12", "layers.13"]
    assert "\nlayers.1-12  mlp each   [32, 32]         552  32.8 K" in report


def test_a_model_of_seven_billion_parameters_takes_seconds_and_no_memory(show) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    report = show(model(LINEAR % (32, 41_000), *[LINEAR % (41_000, 41_000)] * 4, LINEAR % (41_000, 16))).report

    assert report.startswith("6,726,173,016 parameters, a batch of 32 (declared by `data`), fp32 on cpu\n")
    assert "\ntogether      100 GiB  fits in 141 GiB; `cpu` has 16.0 GiB here\n" in report
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before[0] < 700 * 1024
    assert time.process_time() - before[1] < 5


def test_recurrent_layers_are_said_to_be_counted_in_part(show) -> None:
    report = show(model("{_type_: nn.LSTM, input_size: 32, hidden_size: 16}")).report

    assert "Of `nn.LSTM` torch counts no FLOPs, and not all that its kernel keeps." in report
    assert nodes(report) == {"layers.0": "([32,"}


def test_nothing_is_written_and_no_random_state_changes(show, project: Path) -> None:
    import torch

    state = torch.get_rng_state()
    show(model("{_type_: probe.TwoParts}"))

    assert torch.equal(torch.get_rng_state(), state)
    assert listing(project) == {}
