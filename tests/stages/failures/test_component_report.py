"""An exception in a component names it, its place in the config, and the user's own lines. Golden texts."""

from __future__ import annotations

import errno
import pickle
import traceback

import pytest

from otrainer.diagnostics.drawing import draw_error
from otrainer.errors import ConfigError
from otrainer.stages.failures import ComponentError

MEND = "  Mend that line, or what the config gives it."
LOSS = "loss: {_merge_: replace, _value_: {_type_: loss.odd}}"
CALLBACK = "callbacks: {_merge_: replace, _value_: [{_type_: cb.odd}]}"
DATA = "data: {_merge_: replace, _value_: {_type_: data.odd}}"


def plugin(key: str, body: str, base: str = "") -> str:
    """The source of a plugin with one class, of which line 5 is the first in `body`."""
    lines = "\n".join(f"    {line}" if line else "" for line in body.strip("\n").splitlines())
    register = f"def register(registry):\n    registry.register_module('{key}', Odd)\n"
    return f"import torch\n\n\nclass Odd{base}:\n{lines}\n\n\n{register}"


def test_a_loss_is_named_with_what_it_was_given(failing):
    """Between the loop and the line that raises, only the user's own lines are told."""
    body = """
def __call__(self, *, outputs, targets, batch, stage):
    return torch.utils._pytree.tree_map(self.scaled, targets)

def scaled(self, target):
    return {}["scale"] * target
"""
    error = failing(LOSS, plugin("loss.odd", body))
    assert draw_error(error) == (
        "loss failed ── extensions/odd.py:9:16\n"
        "  8 |     def scaled(self, target):\n"
        '  9 |         return {}["scale"] * target\n'
        "    |                ^\n"
        "  In `__call__`, `loss.odd` raised KeyError: 'scale'\n"
        "  outputs: float32 [8, 3]\n"
        "  targets: {y: float32 [8, 3]}\n"
        "  called in `__call__`: extensions/odd.py:6:16\n"
        "  in the config: configs/experiments/a.yaml:4:35\n"
        "  Mend that line, or what the config gives it."
    )
    assert type(error) is ComponentError
    assert type(error.__cause__) is KeyError


def test_message_notes_and_what_led_to_it_are_kept(failing):
    body = """
def __call__(self, *, outputs, targets, batch, stage):
    try:
        self.asked()
    except OSError as error:
        failed = ValueError("no weights\\nfor this batch")
        failed.add_note("(they are asked for anew each time)")
        raise failed from error

def asked(self):
    try:
        int("many")
    except ValueError:
        raise ConnectionError(111, "the server is away")
"""
    assert draw_error(failing(LOSS, plugin("loss.odd", body))).splitlines()[4:] == [
        "  In `__call__`, `loss.odd` raised ValueError: no weights",
        "  for this batch",
        "  (they are asked for anew each time)",
        "  outputs: float32 [8, 3]",
        "  targets: {y: float32 [8, 3]}",
        "  because of ConnectionError: [Errno 111] the server is away: extensions/odd.py:17:13",
        "  while handling ValueError: invalid literal for int() with base 10: 'many': extensions/odd.py:15:13",
        "  in the config: configs/experiments/a.yaml:4:35",
        MEND,
    ]


def test_a_callback_that_calls_the_model_wrongly_is_told_with_the_node(failing):
    body = """
def on_epoch_end(self, ctx):
    ctx.model(torch.zeros(2, 7))
"""
    assert draw_error(failing(CALLBACK, plugin("cb.odd", body))) == (
        "layer failed ── configs/base/small.yaml:4:31\n"
        "  3 | data: {batch_size: 8, steps_per_epoch: 2, val_steps_per_epoch: 1, x_shape: [4], y_shape: [3]}\n"
        "  4 | model: {sequential: {layers: [{_type_: nn.Linear, in_features: 4, out_features: 3}]}}\n"
        "    |                               ^\n"
        "  included by configs/experiments/a.yaml:1:12\n"
        "  Layer 0 (`nn.Linear`) raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x7 and 4x3)\n"
        "  input `x`: float32 [2, 7]\n"
        "  called in `on_epoch_end`: extensions/odd.py:6:9\n"
        "  Its `in_features` is 4, and dimension 1 of its input is 7: write `in_features: 7`, or give it 4."
    )


def test_a_model_of_another_config_is_no_node_of_this_one(failing):
    body = """
def __init__(self):
    from otrainer.deps.model_constructor import build_model

    layer = {"_type_": "nn.Linear", "_args_": [2, 2]}
    self.teacher = build_model({"schema_version": 1, "model": {"sequential": {"layers": [layer, layer]}}})

def __call__(self, *, outputs, targets, batch, stage):
    return self.teacher(outputs)
"""
    drawn = draw_error(failing(LOSS, plugin("loss.odd", body))).splitlines()
    assert drawn[0] == "loss failed ── extensions/odd.py:12:16"
    assert drawn[4].startswith("  In `__call__`, `loss.odd` raised RuntimeError: mat1 and mat2 shapes")


def test_a_recursion_is_told_in_a_few_lines(failing):
    body = """
def on_train_step_end(self, ctx):
    self.count(7)

def count(self, number):
    return self.count(number - 1) if number else 1 / number
"""
    assert draw_error(failing(CALLBACK, plugin("cb.odd", body))).splitlines()[4:] == [
        "  In `on_train_step_end`, `cb.odd` raised ZeroDivisionError: division by zero",
        "  called in `count` (7 times): extensions/odd.py:9:16",
        "  called in `on_train_step_end`: extensions/odd.py:6:9",
        "  in the config: configs/experiments/a.yaml:4:41",
        MEND,
    ]


ROWS = """
def __len__(self):
    return 16

def __getitem__(self, index):
    if index >= 12:
        raise LookupError(f"row {index} is empty") from OSError("nothing there")
    return {"x": torch.zeros(4), "y": torch.zeros(3)}
"""
DATASET = """
    data:
      _merge_: replace
      _value_:
        _type_: data.dataset
        train: {_type_: dataset.odd}
        batch_size: 8
        shuffle: false
        num_workers: WORKERS
    """


@pytest.mark.parametrize("workers", [0, 1])
def test_a_dataset_is_named_whether_it_is_read_here_or_in_a_worker(failing, workers):
    """What crosses from a worker is its printed traceback; torch raises it here as the message of another exception."""
    error = failing(DATASET.replace("WORKERS", str(workers)), plugin("dataset.odd", ROWS))
    said, index = (", in DataLoader worker process 0", []) if workers else ("", ["  index: 12"])
    drawn = draw_error(error).splitlines()
    assert drawn[0] == "data failed ── extensions/odd.py:10:13"
    assert drawn[4:] == [
        f"  In `__getitem__`{said}, `dataset.odd` raised LookupError: row 12 is empty",
        *index,
        "  because of OSError: nothing there",
        "  in the config: configs/experiments/a.yaml:8:12",
        MEND,
    ]
    assert type(error.__cause__) is LookupError


READ = {
    "a method": """
def train_dataloader(self):
    raise OSError("away")
""",
    "a generator": """
def train_dataloader(self):
    yield from ()
    raise OSError("away")
""",
    "a function": """
def train_dataloader(self):
    return read()
""",
    "a list": """
def train_dataloader(self):
    return Items(range(2))
""",
}
ELSEWHERE = """
def read():
    yield from ()
    raise OSError("away")


class Items(list):
    def __getitem__(self, index):
        raise OSError("away")
"""


@pytest.mark.parametrize(
    ("form", "method"),
    [
        ("a method", "train_dataloader"),
        ("a generator", "train_dataloader"),
        ("a function", "read"),
        ("a list", "__getitem__"),
    ],
)
def test_data_is_named_however_it_hands_out_its_batches(failing, form, method):
    drawn = draw_error(failing(DATA, plugin("data.odd", READ[form]) + ELSEWHERE)).splitlines()
    assert drawn[0].startswith("data failed ── extensions/odd.py:")
    assert drawn[4:] == [
        f"  In `{method}`, `data.odd` raised OSError: away",
        *(["  index: 0"] if form == "a list" else []),
        "  in the config: configs/experiments/a.yaml:4:35",
        MEND,
    ]


def only(section: str, spec: str) -> str:
    return f"{section}: {{_merge_: replace, _value_: {spec}}}"


FAILS = """
def HOOK(self, *args, **kwargs):
    raise ArithmeticError("out of luck")
"""
KINDS = {
    "io.odd": ("split", only("io", "{_type_: io.odd}"), "io failed", "4:33"),
    "metric.odd": ("compute", "metrics: [{_type_: metric.odd}]", "metric failed", "4:11"),
    "log.odd": ("log_hparams", only("loggers", "[{_type_: log.odd}]"), "logger failed", "4:39"),
    "cb.odd": ("on_fit_end", CALLBACK, "callback failed", "4:41"),
    "sched_factory.odd": ("build", "scheduler: {_type_: sched_factory.odd}", "scheduler failed", "4:12"),
    "optim_factory.odd": ("build", only("optimizer", "{_type_: optim_factory.odd}"), "optimizer failed", "4:40"),
    "trainer.odd": ("fit", only("trainer", "{_type_: trainer.odd}"), "trainer failed", "4:38"),
}


@pytest.mark.parametrize("key", KINDS)
def test_every_kind_of_component_is_named(failing, key):
    hook, section, title, place = KINDS[key]
    drawn = draw_error(failing(section, plugin(key, FAILS.replace("HOOK", hook)))).splitlines()
    assert drawn[0] == f"{title} ── extensions/odd.py:6:9"
    assert drawn[4] == f"  In `{hook}`, `{key}` raised ArithmeticError: out of luck"
    assert drawn[-2] == f"  in the config: configs/experiments/a.yaml:{place}"


MADE = {
    "optim_cls.Odd": ("(torch.optim.SGD)", "optimizer: {type: optim_cls.Odd}", "4:19"),
    "sched_cls.Odd": (
        "(torch.optim.lr_scheduler.StepLR)",
        "scheduler: {_type_: sched_factory.torch, type: sched_cls.Odd, args: [1], interval: step}",
        "4:48",
    ),
}


@pytest.mark.parametrize("key", MADE)
def test_what_a_factory_made_is_named_by_its_class(failing, key):
    base, section, place = MADE[key]
    body = """
def step(self, *args):
    if getattr(self, "last_epoch", 0) < 0:
        return super().step(*args)  # as a scheduler is built
    raise ArithmeticError("out of luck")
"""
    drawn = draw_error(failing(section, plugin(key, body, base))).splitlines()
    assert drawn[4] == f"  In `step`, `{key}` raised ArithmeticError: out of luck"
    assert drawn[-2] == f"  in the config: configs/experiments/a.yaml:{place}"


def test_an_exit_is_an_error_like_any_other(failing):
    error = failing(CALLBACK, plugin("cb.odd", "def on_fit_start(self, ctx):\n    raise SystemExit(3)"))
    assert draw_error(error).splitlines()[4] == "  In `on_fit_start`, `cb.odd` raised SystemExit: 3"


def test_where_no_line_is_the_users_own_the_librarys_is_told(failing):
    drawn = draw_error(failing(only("loggers", '[{_type_: log.json_lines, path: "a\\0b"}]'))).splitlines()
    assert drawn[0] == "logger failed ── configs/experiments/a.yaml:3:39"
    assert drawn[4] == "  In `log_hparams`, `log.json_lines` raised ValueError: embedded null byte"
    assert drawn[5].startswith("  raised in `_joinrealpath`: <frozen posixpath>:")
    assert drawn[6:] == ["  OTRAINER_TRACEBACK=1 in the environment shows the whole traceback."]


def test_a_mistake_that_a_component_finds_while_it_runs_has_a_place_under_it(failing):
    body = """
def on_fit_start(self, ctx):
    from otrainer.errors import ConfigError
    raise ConfigError("`often` is too often.", config_path=("often",), hint="Less often.")

often = 3
"""
    error = failing("callbacks:\n  _merge_: replace\n  _value_:\n    - _type_: cb.odd\n", plugin("cb.odd", body))
    assert type(error) is ConfigError
    assert (error.config_path, str(error.location)) == (("callbacks", 0, "often"), "configs/experiments/a.yaml:7:7")


KEYED = """
def __init__(self, key):
    self.key = key

def on_fit_start(self, ctx):
    try:
        raise LookupError(f"nothing at {self.key}")
    except LookupError as error:
        raise RAISED from error

class Stubborn(Exception):
    def __init__(self, key):
        self.key = key

    def __str__(self):
        return f"{self.key} is no key"
"""


@pytest.mark.parametrize("raised", ['PermissionError(f"{self.key} is no key")', "self.Stubborn(self.key)"])
def test_a_secret_is_told_by_its_reference_and_no_chain_shows_it(failing, monkeypatch, raised):
    """What cannot be kept from showing it is not chained."""
    monkeypatch.setenv("ODD_KEY", "hunter2")
    text = CALLBACK.replace("cb.odd", 'cb.odd, key: "${secret:ODD_KEY}"')
    error = failing(text, plugin("cb.odd", KEYED.replace("RAISED", raised)))
    drawn = draw_error(error)
    assert "Error: ${secret:ODD_KEY} is no key" in drawn or "Stubborn: ${secret:ODD_KEY} is no key" in drawn
    assert "because of LookupError: nothing at ${secret:ODD_KEY}: extensions/odd.py:" in drawn
    assert "hunter2" not in drawn + "".join(traceback.format_exception(error))
    assert (error.__cause__ is None) == ("Stubborn" in raised)
    assert error.__context__ is None


def test_a_full_disk_is_no_fault_of_who_writes(failing):
    body = f"""
def on_fit_start(self, ctx):
    raise OSError({errno.ENOSPC}, "No space left on device", "rows.csv")
"""
    assert draw_error(failing(CALLBACK, plugin("cb.odd", body))) == (
        "cannot write ── configs/experiments/a.yaml:4:41\n"
        "  3 | imports: [extensions.odd]\n"
        "  4 | callbacks: {_merge_: replace, _value_: [{_type_: cb.odd}]}\n"
        "    |                                         ^\n"
        "  `rows.csv` cannot be written: No space left on device.\n"
        "  Make room there, or let this user write to it."
    )


def test_a_missing_package_is_told_with_how_to_get_it(failing):
    body = """
def on_fit_start(self, ctx):
    import nowhere_to_be_found
"""
    drawn = draw_error(failing(CALLBACK, plugin("cb.odd", body))).splitlines()
    assert drawn[4].endswith("raised ModuleNotFoundError: No module named 'nowhere_to_be_found'")
    assert drawn[-1] == "  Run `pip install nowhere_to_be_found`, or what brings it."


def test_an_object_that_cannot_be_described_does_not_hide_the_error(failing):
    body = """
def train_dataloader(self):
    return [Broken()]

def split(self, batch, *, stage):
    raise ArithmeticError("out of luck")
"""
    broken = "\n\nclass Broken(dict):\n    def __len__(self):\n        raise ValueError('not to be read')\n"
    source = plugin("data.odd", body).replace(
        "'data.odd', Odd)", "'data.odd', Odd)\n    registry.register_module('io.odd', Odd)"
    )
    drawn = draw_error(failing(f"{DATA}\n{only('io', '{_type_: io.odd}')}", source + broken)).splitlines()
    assert drawn[0] == "failed ── extensions/odd.py:9:9"
    assert drawn[4:] == ["  ArithmeticError: out of luck", MEND]


BACKWARD = """
import torch


class Unkind(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        raise ArithmeticError("no gradient today")


class Odd(torch.nn.Module):
    def forward(self, x):
        return Unkind.apply(x)


class InPlace(torch.nn.Module):
    def forward(self, x):
        y = x.sigmoid()
        y += 1
        return y


def register(registry):
    registry.register_module("odd", Odd)
    registry.register_module("in_place", InPlace)
"""
APPENDED = "model: {sequential: {layers: {_merge_: append, _value_: [LAYERS]}}}"


def test_backward_in_the_users_code_is_drawn_there(failing):
    assert draw_error(failing(APPENDED.replace("LAYERS", "{_type_: odd}"), BACKWARD)) == (
        "backward failed ── extensions/odd.py:11:9\n"
        "  10 |     def backward(ctx, gradient):\n"
        '  11 |         raise ArithmeticError("no gradient today")\n'
        "     |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  Backward raised ArithmeticError: no gradient today\n"
        "  The forward pass and the loss went through before it.\n"
        "  in the config: configs/experiments/a.yaml:4:8\n"
        "  Mend that line, or what the config gives it."
    )


def test_backward_elsewhere_tells_what_is_known(failing):
    layers = "{_type_: in_place}, {_type_: nn.ReLU, inplace: true}"
    drawn = draw_error(failing(APPENDED.replace("LAYERS", layers), BACKWARD)).splitlines()
    assert drawn[0] == "backward failed ── configs/experiments/a.yaml:4:8"
    assert drawn[4].startswith("  Backward raised RuntimeError: one of the variables needed for gradient computation")
    assert drawn[5:] == [
        "  The forward pass and the loss went through before it.",
        "  Modules that change their input in place: `layers.2`.",
        "  In a plugin, `torch.autograd.set_detect_anomaly(True)` lets torch show the line of the forward pass.",
    ]


def test_a_hook_for_exceptions_that_fails_itself_is_told_beside_the_error(failing, caplog):
    body = """
def on_train_step_end(self, ctx):
    raise ArithmeticError("out of luck")

def on_exception(self, ctx, exc):
    raise LookupError("nobody to tell")
"""
    error = failing(CALLBACK, plugin("cb.odd", body))
    assert type(error.__cause__) is ArithmeticError
    (message,) = caplog.messages
    assert message == (
        "on_exception of Odd failed as well: LookupError ── extensions/odd.py:9:9\n"
        "  8 |     def on_exception(self, ctx, exc):\n"
        '  9 |         raise LookupError("nobody to tell")\n'
        "    |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  nobody to tell\n"
        "  Mend that line, or what the config gives it."
    )


RETURNS = {
    "two things of three": ("io", "split", 'return batch["x"], batch', "`split` returns `(ArgsKwargs(args, "),
    "inputs as they are": (
        "io",
        "split",
        'return batch["x"], batch, {}',
        "`split` returns `(ArgsKwargs(args, kwargs), ",
    ),
}
WRONG_NUMBERS = {
    "a log that is a word": (
        "loss",
        "loss.odd",
        "def __call__(self, batch=None, **kwargs):\n    return LossOutput(kwargs['outputs'].mean(), {'word': 'low'})",
        "The loss logs `word`, a str, which is no number.",
    ),
    "a value that is a list": (
        "metrics",
        "metric.odd",
        "def compute(self):\n    return {'both': [1, 2]}",
        "What the metric computes as `both` is no number: ",
    ),
}


@pytest.mark.parametrize("what", RETURNS)
def test_what_the_loop_cannot_use_is_told_at_the_component_that_returned_it(failing, what):
    section, method, body, hint = RETURNS[what]
    key = f"{section}.odd"
    source = plugin(key, f"def {method}(self, batch=None, **kwargs):\n    {body}")
    drawn = draw_error(failing(only(section, f"{{_type_: {key}}}"), source)).splitlines()
    assert drawn[0].startswith(f"{section} failed ── configs/experiments/a.yaml:4:")
    assert drawn[4].startswith(f"  What `{key}` returned cannot be used: ")
    assert drawn[-1].startswith(f"  {hint}")


@pytest.mark.parametrize("what", WRONG_NUMBERS)
def test_what_is_no_number_is_told_by_its_name_at_the_component(failing, what):
    section, key, body, words = WRONG_NUMBERS[what]
    spec = f"metrics: [{{_type_: {key}}}]" if section == "metrics" else only(section, f"{{_type_: {key}}}")
    source = plugin(key, body).replace("import torch\n", "from otrainer.components.loss import LossOutput\n", 1)
    drawn = draw_error(failing(spec, source))
    assert " ── configs/experiments/a.yaml:4:" in drawn.splitlines()[0]
    assert words in drawn


def test_a_report_stays_what_it_is_in_other_processes(failing):
    error = failing(CALLBACK, plugin("cb.odd", FAILS.replace("HOOK", "on_fit_end")))
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301 - it was made here
    assert (type(twin), twin.findings) == (ComponentError, error.findings)


def test_an_operation_that_is_not_deterministic_is_told_with_its_layer(failing):
    body = """
def forward(self, x):
    return x.put_(torch.tensor([0]), torch.tensor([1.0]))
"""
    text = "model: {sequential: {layers: {_merge_: prepend, _value_: [{_type_: odd}]}}}\nrun: {deterministic: true}"
    drawn = draw_error(failing(text, plugin("odd", body, "(torch.nn.Module)"))).splitlines()
    assert drawn[0] == "not deterministic ── configs/experiments/a.yaml:5:22"
    assert drawn[4].startswith("  put_ does not have a deterministic implementation")
    assert drawn[5:] == [
        "  called in `forward`: extensions/odd.py:6:16",
        "  in `odd`: configs/experiments/a.yaml:4:59",
        "  Use another operation there, or set `run.deterministic: false`.",
    ]
