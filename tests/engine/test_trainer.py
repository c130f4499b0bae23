"""What the default trainer promises: hooks in their order, means that are means, and no surprise in between."""

from __future__ import annotations

import json
from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches, small_model
from torch.utils.data import DataLoader

from otrainer.components.io import ArgsKwargs, MappingIO
from otrainer.components.loss import LossOutput
from otrainer.components.metrics import TorchMetric
from otrainer.engine.state import RunContext
from otrainer.errors import ConfigError


class Recorder:
    """A callback with every hook."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    def _note(self, name: str, ctx: RunContext) -> None:
        self.seen.append((name, ctx.state.epoch, ctx.state.global_step))

    def on_fit_start(self, ctx: RunContext) -> None:
        self._note("fit_start", ctx)

    def on_train_step_end(self, ctx: RunContext) -> None:
        self._note("step_end", ctx)

    def on_epoch_end(self, ctx: RunContext) -> None:
        self._note("epoch_end", ctx)

    def on_exception(self, ctx: RunContext, exc: BaseException) -> None:
        self._note(f"exception {type(exc).__name__}", ctx)

    def on_fit_end(self, ctx: RunContext) -> None:
        self._note("fit_end", ctx)


class SquaredError:
    """A loss with logs of its own."""

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        loss = torch.mean((outputs - targets["y"]) ** 2)
        return LossOutput(loss=loss, logs={"root": loss.detach().sqrt(), "size": len(outputs)})


def test_hooks_come_in_their_order_and_after_optimizer_steps_only() -> None:
    """Two epochs of three micro-batches, two of which make a step: the last group of each epoch has one."""
    recorder = Recorder()
    fit(
        small_model(),
        Batches(random_batches(3)),
        trainer={"max_epochs": 2, "grad_accum_steps": 2},
        callbacks=[recorder],
    )

    assert recorder.seen == [
        ("fit_start", 0, 0),
        ("step_end", 0, 1),
        ("step_end", 0, 2),
        ("epoch_end", 0, 2),
        ("step_end", 1, 3),
        ("step_end", 1, 4),
        ("epoch_end", 1, 4),
        ("fit_end", 1, 4),
    ]


def test_an_exception_reaches_the_callbacks_and_then_the_caller() -> None:
    class Failing:
        def on_train_step_end(self, ctx: RunContext) -> None:
            raise RuntimeError("broken")

    recorder = Recorder()
    with pytest.raises(RuntimeError, match="broken"):
        fit(small_model(), Batches(random_batches(3)), callbacks=[recorder, Failing()])

    assert recorder.seen[-1] == ("exception RuntimeError", 0, 1)
    assert all(name != "fit_end" for name, _, _ in recorder.seen)


def test_loggers_are_closed_when_training_fails() -> None:
    closed = []

    class Closing:
        def close(self) -> None:
            closed.append(True)

    class Failing:
        def on_epoch_end(self, ctx: RunContext) -> None:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(small_model(), Batches(random_batches(1)), callbacks=[Failing()], loggers=[Closing()])

    assert closed == [True]


def test_the_validation_loss_is_the_mean_over_samples_not_over_batches() -> None:
    model = small_model()
    val = [*random_batches(1, size=8, seed=5), *random_batches(1, size=1, seed=6)]
    notes = Notes()
    fit(
        model,
        Batches(random_batches(1), val),
        optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": 0.0}},
        loggers=[notes],
    )

    x, y = torch.cat([batch["x"] for batch in val]), torch.cat([batch["y"] for batch in val])
    expected = float(torch.nn.functional.mse_loss(model(x), y))
    assert notes.values("val", "val_loss") == [pytest.approx(expected, rel=1e-6)]


def test_logged_values_are_means_over_the_micro_batches_of_the_step() -> None:
    batches, notes = random_batches(3), Notes()
    model = small_model()
    fit(
        model,
        Batches(batches),
        trainer={"grad_accum_steps": 3, "log_every_n_steps": 1},
        optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": 0.0}},
        loss=SquaredError(),
        loggers=[notes],
    )

    losses = [float(torch.nn.functional.mse_loss(model(batch["x"]), batch["y"])) for batch in batches]
    assert notes.values("train", "loss") == [pytest.approx(sum(losses) / 3, rel=1e-6)]
    assert notes.values("train", "root") == [pytest.approx(sum(value**0.5 for value in losses) / 3, rel=1e-6)]
    assert notes.values("train", "size") == [8.0]


def test_the_latest_logs_read_as_floats_and_a_step_that_nobody_reads_is_never_waited_for() -> None:
    kept: list[Any] = []

    class Keep:
        def on_train_step_end(self, ctx: RunContext) -> None:
            kept.append(ctx.last_train_logs)

    fit(small_model(), Batches(random_batches(2)), callbacks=[Keep()])

    assert "_numbers" not in vars(kept[0])
    assert type(kept[1]["loss"]) is float
    assert repr(kept[1]) == repr({"loss": kept[1]["loss"]})
    assert "_numbers" not in vars(kept[0])


def test_training_rows_come_every_n_steps_and_validation_rows_every_n_epochs() -> None:
    notes = Notes()
    fit(
        small_model(),
        Batches(random_batches(4), random_batches(1)),
        trainer={"max_epochs": 3, "log_every_n_steps": 3, "val_every_n_epochs": 2},
        loggers=[notes],
    )

    assert [(stage, step) for stage, step, _ in notes.rows] == [
        ("train", 3),
        ("train", 6),
        ("val", 8),
        ("train", 9),
        ("train", 12),
    ]
    assert set(notes.rows[0][2]) == {"loss", "lr"}


def test_hparams_are_plain_data_that_json_takes() -> None:
    notes = Notes()
    fit(small_model(), Batches(random_batches(1)), loggers=[notes])

    assert json.loads(json.dumps(notes.hparams)) == notes.hparams
    assert notes.hparams["run"]["name"] == "test"


def test_metrics_are_computed_and_logged_each_epoch_and_reset_after_the_callbacks_ran() -> None:
    class Count:
        def __init__(self) -> None:
            self.updates = {"train": 0, "val": 0}

        def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
            assert not outputs.requires_grad
            self.updates[stage] += 1

        def compute(self) -> dict[str, float]:
            return {f"{stage}/updates": count for stage, count in self.updates.items()}

        def reset(self) -> None:
            self.updates = {"train": 0, "val": 0}

    seen: list[dict[str, int]] = []

    class Look:
        def on_epoch_end(self, ctx: RunContext) -> None:
            seen.append(dict(ctx.metrics[0].updates))
            assert ctx.last_val_logs["val/updates"] == 2

    notes = Notes()
    fit(
        small_model(),
        Batches(random_batches(5), random_batches(2)),
        trainer={"max_epochs": 2},
        metrics=[Count()],
        callbacks=[Look()],
        loggers=[notes],
    )

    assert seen == [{"train": 5, "val": 2}] * 2
    assert notes.values("metrics", "train/updates") == [5.0, 5.0]
    assert notes.values("val", "val/updates") == [2.0, 2.0]


class Boxed:
    """Outputs in an object of one's own, which moves and leaves the graph by itself."""

    def __init__(self, y: torch.Tensor) -> None:
        self.y = y

    def to(self, device: Any) -> Boxed:
        return Boxed(self.y.to(device))

    def detach(self) -> Boxed:
        return Boxed(self.y.detach())


def test_metrics_see_outputs_without_their_graph_in_containers_and_in_what_can_be_detached() -> None:
    class Several(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small_model()

        def forward(self, x: torch.Tensor) -> dict[str, Any]:
            y = self.inner(x)
            packed = torch.nn.utils.rnn.pack_sequence([y, y])
            return {"y": y, "pair": Pair(y, [y]), "packed": packed, "box": Boxed(y), "open": SimpleNamespace(y=y)}

    seen: dict[str, bool] = {}

    class Look:
        def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
            seen["containers"] = outputs["y"].requires_grad or outputs["pair"].y[0].requires_grad
            seen["packed"] = outputs["packed"].data.requires_grad
            seen["box"] = outputs["box"].y.requires_grad
            seen["open"] = outputs["open"].y.requires_grad or stage == "val"

    def loss(*, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        return LossOutput(((outputs["box"].y - targets["y"]) ** 2).mean())

    fit(Several(), Batches(random_batches(2)), loss=loss, metrics=[Look()])

    assert seen == {"containers": False, "packed": False, "box": False, "open": True}


def test_parts_need_only_the_hooks_that_they_use() -> None:
    class Nothing:
        pass

    class UpdateOnly:
        def update(self, **_: Any) -> None:
            pass

    fit(
        small_model(),
        Batches(random_batches(2), random_batches(1)),
        callbacks=[Nothing()],
        loggers=[Nothing()],
        metrics=[UpdateOnly()],
    )


def test_a_misspelt_hook_is_told_with_the_nearest_name_before_anything_trains() -> None:
    class Late:
        def on_epoch_ends(self, ctx: RunContext) -> None:
            raise AssertionError

    with pytest.raises(ConfigError, match=r"`Late.on_epoch_ends` is never called") as error:
        fit(small_model(), Batches(random_batches(1)), callbacks=[Late()])

    assert error.value.suggestions[0] == "on_epoch_end"
    assert error.value.config_path == ("callbacks", 0)


Pair = namedtuple("Pair", ["x", "y"])


@dataclass
class Record:
    x: torch.Tensor
    y: torch.Tensor


@pytest.mark.parametrize(
    ("shape", "paths"),
    [
        (lambda batch: batch, (["x"], ["y"])),
        (lambda batch: [batch["x"], batch["y"]], ([0], [1])),
        (lambda batch: (batch["x"], batch["y"]), ([0], [1])),
        (lambda batch: Pair(batch["x"], batch["y"]), (["x"], ["y"])),
        (lambda batch: Record(batch["x"], batch["y"]), (["x"], ["y"])),
        (lambda batch: {"in": [batch["x"]], "out": (0, batch["y"])}, (["in", 0], ["out", 1])),
    ],
    ids=["dict", "list", "tuple", "named tuple", "dataclass", "nested"],
)
def test_batches_come_in_any_shape(shape: Any, paths: tuple[list[Any], list[Any]]) -> None:
    batches, expected = random_batches(3), small_model()
    fit(expected, Batches(batches))

    model = small_model()
    fit(model, Batches([shape(batch) for batch in batches]), io=MappingIO({"input": paths[0]}, {"y": paths[1]}))

    assert torch.equal(parameters_of(model), parameters_of(expected))


def test_a_path_that_finds_nothing_names_what_the_batch_has() -> None:
    with pytest.raises(
        ConfigError, match=r"There is no 'z' at the top: it is a mapping with the keys 'x', 'y'"
    ) as error:
        fit(small_model(), Batches(random_batches(1)), io=MappingIO({"input": ["z"]}))

    assert error.value.config_path == ("io", "model_kwargs", "input")


def test_a_monitor_that_is_not_logged_is_an_error_that_lists_what_is() -> None:
    scheduler = {"type": "sched_cls.ReduceLROnPlateau", "interval": "metric", "monitor": "val_los"}
    with pytest.raises(ConfigError, match="It logged `val_loss`") as error:
        fit(small_model(), Batches(random_batches(1), random_batches(1)), scheduler=scheduler)

    assert error.value.config_path == ("scheduler", "monitor")
    assert error.value.suggestions == ["val_loss"]


def test_a_monitor_without_validation_data_is_told() -> None:
    scheduler = {"type": "sched_cls.ReduceLROnPlateau", "interval": "metric", "monitor": "val_loss"}
    with pytest.raises(ConfigError, match="there are no data to validate on"):
        fit(small_model(), Batches(random_batches(1)), scheduler=scheduler)


def test_training_data_without_a_batch_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nothing to train on"):
        fit(small_model(), Batches([]))


def numbered(loaders: Any) -> dict[int, Any]:
    return dict(enumerate(loaders))


@pytest.mark.parametrize(
    ("several", "stage"), [(list, "train"), (tuple, "train"), (numbered, "train"), (list, "val"), (tuple, "val")]
)
def test_several_loaders_are_told_before_anything_is_read(several: Any, stage: str) -> None:
    loaders = several([DataLoader(random_batches(1), batch_size=None) for _ in range(2)])

    with pytest.raises(ConfigError, match=f"`{stage}_dataloader` returned a .* of 2 loaders; a run reads one") as error:
        fit(small_model(), Batches(**{"train": random_batches(1), "val": None, stage: loaders}))

    assert error.value.config_path == ("data",)


def test_several_validation_loaders_have_names() -> None:
    loaders = numbered([DataLoader(random_batches(1), batch_size=None) for _ in range(2)])

    with pytest.raises(ConfigError, match="`val_dataloader` returned several loaders, by the names 0, 1"):
        fit(small_model(), Batches(random_batches(1), loaders))


def test_what_cannot_be_read_is_no_loader() -> None:
    with pytest.raises(ConfigError, match="`train_dataloader` returned a value of type `int`"):
        fit(small_model(), Batches(5))


def test_a_generator_of_validation_batches_that_yields_none_is_no_validation() -> None:
    notes = Notes()
    fit(small_model(), Batches(random_batches(1), lambda: iter(())), loggers=[notes])

    assert "val" not in [stage for stage, _, _ in notes.rows]


def test_generators_are_asked_for_again_each_epoch() -> None:
    steps = []

    class CountSteps:
        def on_train_step_end(self, ctx: RunContext) -> None:
            steps.append(ctx.state.epoch)

    fit(
        small_model(),
        Batches(lambda: (batch for batch in random_batches(2))),
        trainer={"max_epochs": 3},
        callbacks=[CountSteps()],
    )

    assert steps == [0, 0, 1, 1, 2, 2]


def test_lbfgs_gets_the_closure_that_it_needs() -> None:
    notes = Notes()
    fit(
        small_model(),
        Batches(random_batches(1) * 5),
        trainer={"log_every_n_steps": 1},
        optimizer={"type": "optim_cls.LBFGS", "kwargs": {"lr": 0.5}},
        loggers=[notes],
    )

    losses = notes.values("train", "loss")
    assert losses[-1] < losses[0] / 2


def test_bf16_computes_in_bfloat16_and_keeps_its_weights_in_float32() -> None:
    seen: list[torch.dtype] = []

    class Look:
        def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
            seen.append(outputs.dtype)
            return LossOutput(torch.mean((outputs - targets["y"]) ** 2))

    model = fit(small_model(), Batches(random_batches(1)), loss=Look(), run={"precision": "bf16-mixed"})

    assert seen == [torch.bfloat16]
    assert parameters_of(model).dtype == torch.float32


def test_fp16_without_cuda_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a CUDA device"):
        fit(small_model(), Batches(random_batches(1)), run={"precision": "fp16-mixed"})


@pytest.mark.parametrize(
    "wrong", [{"max_epochs": 0}, {"grad_accum_steps": 1.5}, {"log_every_n_steps": True}, {"grad_clip_norm": -1}]
)
def test_counts_and_norms_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        fit(small_model(), Batches(random_batches(1)), trainer=wrong)


class KwargsIO:
    def split(self, batch: Any, *, stage: str) -> tuple[ArgsKwargs, Any, Any]:
        return ArgsKwargs(kwargs={"input": batch["x"]}), {"y": batch["y"]}, {"stage": stage}


def test_inputs_go_to_the_model_by_keyword_too() -> None:
    by_position, by_keyword = small_model(), small_model()
    fit(by_position, Batches(random_batches(3)))
    fit(by_keyword, Batches(random_batches(3)), io=KwargsIO())

    assert torch.equal(parameters_of(by_position), parameters_of(by_keyword))


def test_a_failing_on_exception_hides_neither_the_failure_nor_the_other_callbacks() -> None:
    class Failing:
        def on_train_step_end(self, ctx: RunContext) -> None:
            raise RuntimeError("first")

        def on_exception(self, ctx: RunContext, exc: BaseException) -> None:
            raise ValueError("second")

    recorder = Recorder()
    with pytest.raises(RuntimeError, match="first"):
        fit(small_model(), Batches(random_batches(1)), callbacks=[Failing(), recorder])

    assert recorder.seen[-1][0] == "exception RuntimeError"


def test_a_hook_given_to_an_object_rather_than_its_class_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="on_epoch_ends"):
        fit(
            small_model(),
            Batches(random_batches(1)),
            callbacks=[SimpleNamespace(on_epoch_ends=lambda ctx: None)],
        )


def test_lbfgs_clips_inside_its_closure() -> None:
    def trained(clip: float | None) -> torch.Tensor:
        optimizer = {"type": "optim_cls.LBFGS", "kwargs": {"max_iter": 1}}
        model = fit(small_model(), Batches(random_batches(1)), optimizer=optimizer, trainer={"grad_clip_norm": clip})
        return parameters_of(model) - parameters_of(small_model())

    assert trained(1e-6).norm() < 1e-5 < trained(None).norm()


def test_a_scheduler_by_metric_counts_validations() -> None:
    seen: list[float] = []

    class Look:
        def on_epoch_end(self, ctx: RunContext) -> None:
            seen.append(ctx.optimizer.param_groups[0]["lr"])

    fit(
        small_model(),
        Batches(random_batches(1), random_batches(1)),
        trainer={"max_epochs": 12, "val_every_n_epochs": 2},
        optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": 1.0}},
        scheduler={
            "type": "sched_cls.ReduceLROnPlateau",
            "kwargs": {"patience": 0, "factor": 0.1, "threshold": 1e9},
            "interval": "metric",
            "frequency": 3,
            "monitor": "val_loss",
        },
        callbacks=[Look()],
    )

    assert seen == pytest.approx([1.0] * 5 + [0.1] * 6 + [0.01])


def test_a_metric_may_compute_a_single_number_and_need_not_be_updated() -> None:
    class Constant:
        def compute(self) -> float:
            return 2.5

    notes = Notes()
    fit(small_model(), Batches(random_batches(1), random_batches(1)), metrics=[Constant()], loggers=[notes])

    assert notes.values("val", "Constant") == [2.5]


def test_two_metrics_of_one_name_are_refused() -> None:
    metrics = [TorchMetric("MeanSquaredError"), TorchMetric("MeanSquaredError")]
    with pytest.raises(ConfigError, match="would log as `mean_squared_error`") as error:
        fit(small_model(), Batches(random_batches(1)), metrics=metrics)

    assert error.value.config_path == ("metrics", 1)


def test_run_settings_have_defaults_and_no_unknown_keys() -> None:
    with pytest.raises(ConfigError, match="no key `sede`") as error:
        fit(small_model(), Batches(random_batches(1)), run={"sede": 1})

    assert error.value.suggestions == ["seed"]


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda outputs: outputs.mean(), "returned a Tensor"),
        (lambda outputs: None, "returned None"),
        (lambda outputs: LossOutput(outputs), r"`loss` of shape \(8, 1\)"),
        (lambda outputs: LossOutput(outputs.mean().detach()), "`loss` without a gradient"),
    ],
)
def test_what_is_no_loss_is_told(returned: Any, words: str) -> None:
    class Mine:
        def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> Any:
            return returned(outputs)

    with pytest.raises(ConfigError, match=words) as error:
        fit(small_model(), Batches(random_batches(1)), loss=Mine())

    assert error.value.config_path == ("loss",)
