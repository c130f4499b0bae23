"""What people run into is told at its component with what to do, and in validation with the batch. Kinds, not cases."""

from __future__ import annotations

import errno
import textwrap

import pytest

from otrainer.diagnostics.drawing import draw_error

from .test_component_report import DATA, only, plugin

VAL = "in validation, tried before the first step, batch 0 (counted from 0)"


def said(error) -> list[str]:
    return [line.strip() for line in draw_error(error).splitlines()]


OTHER_FIELD = """
def train_dataloader(self):
    return [{"x": torch.zeros(8, 4), "y": torch.zeros(8, 3)}]

def val_dataloader(self):
    return [{"x": torch.zeros(8, 4), "y": torch.zeros(8, 3)}, {"inputs": torch.zeros(8, 4), "y": torch.zeros(8, 3)}]
"""


def test_a_field_that_validation_lacks_is_told_as_its(failing):
    lines = said(failing(DATA, plugin("data.odd", OTHER_FIELD)))
    assert lines[0].startswith("no such path ── configs/base/runtime.yaml:")
    assert "It failed in validation, batch 1 (counted from 0)." in lines


RAISES_IN_VAL = {
    "loss.odd": (
        "loss",
        "def __call__(self, *, outputs, stage, **_):\n    return LossOutput({'train': outputs.mean()}[stage])",
    ),
    "metric.odd": ("metrics", "def update(self, *, outputs, targets, batch, stage):\n    assert stage == 'train'"),
    "io.odd": (
        "io",
        "def split(self, batch, *, stage):\n    return ArgsKwargs(({'train': batch['x']}[stage],)), batch['y'], {}",
    ),
}


@pytest.mark.parametrize("key", RAISES_IN_VAL)
def test_what_a_component_raises_in_validation_alone_is_told_as_that(failing, key):
    section, body = RAISES_IN_VAL[key]
    spec = f"metrics: [{{_type_: {key}}}]" if section == "metrics" else only(section, f"{{_type_: {key}}}")
    imports = "from otrainer.components.loss import LossOutput; from otrainer.components.io import ArgsKwargs\n"
    lines = said(failing(spec, plugin(key, body).replace("import torch\n", imports, 1)))
    assert any(VAL in line for line in lines), lines


def test_a_batch_of_one_and_a_norm_name_what_leaves_it_out(failing):
    layers = "{_type_: nn.BatchNorm1d, num_features: 3}"
    text = f"model: {{sequential: {{layers: {{_merge_: append, _value_: [{layers}]}}}}}}\ndata: {{batch_size: 1}}"
    assert said(failing(text))[-1] == (
        "One sample has no variance to normalize by: `drop_last: true` in `data` leaves out a last batch that is "
        "smaller, or choose another `batch_size`."
    )


OUTPUTS = {
    "a list": ("[x, x]", "`0`, `1`", "[0]"),
    "a tuple of one": ("(x,)", "`0`", "[0]"),
    "a named tuple": ("Pair(x, x)", "`first`, `second`", "[first]"),
    "a dataclass": ("Part(x, 3)", "`logits`", "[logits]"),
}
MODELS = """
    import collections
    import dataclasses

    import torch

    Pair = collections.namedtuple("Pair", ["first", "second"])


    @dataclasses.dataclass
    class Part:
        logits: torch.Tensor
        count: int


    class Odd(torch.nn.Module):
        def forward(self, x):
            return OUTPUT


    def register(registry):
        registry.register_module("odd", Odd)
    """
APPENDED = "model: {sequential: {layers: {_merge_: append, _value_: [{_type_: odd}]}}}\n"


@pytest.mark.parametrize("fn", ["nn.MSELoss", "nn.CrossEntropyLoss"])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_several_outputs_name_the_path_that_picks_one(failing, kind, fn):
    output, parts, path = OUTPUTS[kind]
    text = f"{APPENDED}loss: {{fn: {{_merge_: replace, _value_: {{_type_: {fn}}}}}}}"
    lines = said(failing(text, MODELS.replace("OUTPUT", output)))
    assert lines[0].startswith("loss failed ── configs/experiments/a.yaml:")
    assert lines[-2:] == [
        f"The prediction is several tensors ({parts}), not one.".replace(
            "several tensors (`0`)", "several tensors (`0`)"
        ),
        f"Add `pred_path: {path}`, for example.",
    ]


def test_a_metric_of_several_outputs_names_it_too(failing):
    pytest.importorskip("torchmetrics")
    text = f"{APPENDED}loss: {{pred_path: [0]}}\nmetrics: [{{_type_: metric.torchmetrics, metric: MeanSquaredError}}]"
    lines = said(failing(text, MODELS.replace("OUTPUT", "[x, x]")))
    assert lines[0].startswith("metric failed ── configs/experiments/a.yaml:6:")
    assert lines[-1] == "Add `pred_path: [0]`, for example."


READS = """
def __init__(self, number, worker=0):
    self.number = number

def __len__(self):
    return 16

def __getitem__(self, index):
    if index == 9:
        raise OSError(self.number, "it says", "/data/img_9.png")
    return {"x": torch.zeros(4), "y": torch.zeros(3)}
"""


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EIO, "What holds the file failed, a disk or a network mount"),
        (errno.EACCES, "Give this user the right to it."),
        (errno.ENOENT, "Put the file there"),
        (errno.EMFILE, "Close each file once it is read"),
        (errno.ESTALE, "What holds the file failed"),
    ],
)
def test_a_file_that_cannot_be_read_is_never_told_as_one_to_write(failing, number, words, workers):
    if workers and number not in (errno.EIO, errno.ENOENT):
        pytest.skip("a worker takes a second, and two tell how errors cross from it")
    spec = f"{{_type_: dataset.odd, number: {number}}}"
    text = only(
        "data", f"{{_type_: data.dataset, train: {spec}, batch_size: 8, shuffle: false, num_workers: {workers}}}"
    )
    drawn = draw_error(failing(text, plugin("dataset.odd", READS)))
    assert drawn.startswith("data failed ── extensions/odd.py:")
    assert "/data/img_9.png" in drawn
    assert drawn.splitlines()[-1].strip().startswith(words)
    assert "cannot write" not in drawn and "Make room" not in drawn


@pytest.mark.parametrize("section", ["loss", "metrics", "io"])
def test_a_broken_disk_is_told_at_who_reads(failing, section):
    key, method = {"loss": ("loss.odd", "__call__"), "metrics": ("metric.odd", "update"), "io": ("io.odd", "split")}[
        section
    ]
    body = f"def {method}(self, *args, **kwargs):\n    raise OSError({errno.EIO}, 'Input/output error', 'weights.bin')"
    spec = f"metrics: [{{_type_: {key}}}]" if section == "metrics" else only(section, f"{{_type_: {key}}}")
    lines = said(failing(spec, plugin(key, body)))
    assert "failed ── extensions/odd.py:6" in lines[0]
    assert lines[-1].startswith("What holds the file failed")


FORCES = """
    import torch


    class Odd(torch.nn.Module):
        def forward(self, x):
            x = x.detach().requires_grad_()
            WITH
                e = (x * x).sum()
            (f,) = torch.autograd.grad(e, x, create_graph=True)
            return x + f


    def register(registry):
        registry.register_module("odd", Odd)
    """
ENABLE = (
    "Validation runs without gradients: put `with torch.enable_grad():` around what differentiates, in the model or "
    "the loss."
)


def test_forces_in_validation_say_that_it_runs_without_gradients(failing):
    lines = said(failing(APPENDED, FORCES.replace("WITH", "if True:")))
    assert lines[0].startswith("layer failed ── extensions/odd.py:9:")
    assert any(line.startswith("Layer 1 (`odd`) raised RuntimeError: element 0 of tensors does not") for line in lines)
    assert VAL in lines
    assert lines[-1] == ENABLE


PENALTY = """
def __call__(self, *, outputs, targets, batch, stage):
    outputs.sum().backward(retain_graph=True)
    return LossOutput(outputs.mean())
"""


def test_a_loss_that_goes_backward_itself_is_told_the_same(failing):
    source = plugin("loss.odd", PENALTY).replace(
        "import torch\n", "from otrainer.components.loss import LossOutput\n", 1
    )
    lines = said(failing(only("loss", "{_type_: loss.odd}"), source))
    assert lines[0].startswith("loss failed ── extensions/odd.py:6:")
    assert "Backward raised" not in " ".join(lines)
    assert lines[-1] == ENABLE


WRONG = {
    "nothing": "None",
    "a text": "'good'",
    "several numbers": "torch.ones(3)",
    "an array": "torch.ones(3).numpy()",
    "a mapping in a mapping": "{'a': {'b': 1.0}}",
    "a list": "[1.0, 2.0]",
}


@pytest.mark.parametrize("what", WRONG)
def test_what_a_metric_computes_and_is_no_number_is_told_at_the_metric(failing, what):
    source = plugin("metric.odd", f"def compute(self):\n    return {WRONG[what]}")
    lines = said(failing("metrics: [{_type_: metric.odd}]", source))
    assert lines[0].startswith("metric is no number ── configs/experiments/a.yaml:4:")
    assert lines[-1] == "Return a mapping from names to numbers, with a name for each of several."


def test_a_metric_that_divides_by_nothing_names_its_line(failing):
    source = plugin("metric.odd", "def compute(self):\n    return {'val_share': 1 / 0}")
    lines = said(failing("metrics: [{_type_: metric.odd}]", source))
    assert lines[0].startswith("metric failed ── extensions/odd.py:6:")
    assert any("ZeroDivisionError" in line for line in lines)


FUSED = """
def step(self, closure=None):
    raise RuntimeError("`_fused_sgd` does not support sparse gradients")
"""


def test_fused_kernels_that_do_not_take_something_name_the_others(failing):
    text = "optimizer: {type: optim_cls.Odd, kwargs: {fused: true}}"
    lines = said(failing(text, plugin("optim_cls.Odd", FUSED, "(torch.optim.SGD)")))
    assert lines[-1] == "`fused: false` in `optimizer.kwargs` takes the implementation without fused kernels."


def test_memory_that_runs_out_in_validation_says_so(failing):
    source = textwrap.dedent("""
        import torch


        class Odd(torch.nn.Module):
            def forward(self, x):
                return x if self.training else torch.empty(10**15)


        def register(registry):
            registry.register_module("odd", Odd)
        """)
    lines = said(failing(APPENDED, source))
    assert any(f"Memory ran out {VAL}, with a batch of 8 samples" in line for line in lines)
