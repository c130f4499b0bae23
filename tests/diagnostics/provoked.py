"""Mistakes that show only while something is built, trained, continued or asked: one function for each golden case.

Each is called in a folder of its own, and raises or returns the mistake.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy
import torch
from support import Batches, fit, random_batches, small_model
from torch.utils.data import DataLoader

from otrainer.commands import Question, answer
from otrainer.commands.show_model.training_step import inputs_by_name
from otrainer.commands.verify_resume.compare import compare
from otrainer.components.callbacks.sample_files import files_of
from otrainer.components.callbacks.samples import Samples
from otrainer.components.data import DatasetDataModule
from otrainer.components.data.batch_samplers import TokensBatchSampler
from otrainer.components.data.samplers import WeightedSampler
from otrainer.components.data.tables import CsvDataset
from otrainer.components.io import ArgsKwargs, MappingIO, pick_one
from otrainer.components.loss import LossOutput
from otrainer.components.normalize import Normalize
from otrainer.components.optim import TorchOptimizerFactory
from otrainer.components.param_groups import grouped
from otrainer.components.sched_phases import PhasesFactory, lengths_of
from otrainer.config import Limits, Settings, resolve_config
from otrainer.config.limits import limits_in_force
from otrainer.diagnostics.exceptions import cannot_write, unexplained
from otrainer.engine.accelerator import check_device
from otrainer.engine.checkpoint import load_checkpoint, unreadable
from otrainer.engine.checkpoint.compatible import check_built, check_model
from otrainer.engine.checkpoint.encode import MARK
from otrainer.engine.checkpoint.file_format import write_container
from otrainer.engine.checkpoint.load_optimizer import load_optimizer
from otrainer.engine.checkpoint.optimizer_state import OptimizerState
from otrainer.engine.checkpoint.part_state import decoded
from otrainer.engine.checkpoint.secrets import refuse_lost
from otrainer.engine.checkpoint.weights_alone import no_run_in
from otrainer.engine.checkpoint.writer import check_finite, write_checkpoint
from otrainer.engine.data.collate import Collate
from otrainer.engine.data.loader import Loader, worker_trouble
from otrainer.engine.data.position import moved
from otrainer.engine.data.saved import used_up
from otrainer.engine.evaluation import no_split, nothing_to_judge
from otrainer.engine.finite import gradient_not_finite
from otrainer.engine.metrics import number_of
from otrainer.engine.monitor import monitored
from otrainer.engine.numerics import deterministic
from otrainer.engine.optimizer import call_step
from otrainer.engine.parts import check_hooks, check_metric_names
from otrainer.engine.schedule import build_schedule, check_on_resume
from otrainer.engine.schedule_length import schedule_mistakes
from otrainer.engine.starting.load import start_from
from otrainer.engine.starting.section import sources_in
from otrainer.engine.state import RunSettings, TrainState
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import Finding
from otrainer.fingerprint import Fingerprints
from otrainer.model.components import Components
from otrainer.model.lazy import materialize
from otrainer.registry import build_registry, instantiate_value, load_plugins
from otrainer.registry.plugins.stale import refuse_stale
from otrainer.stages.built import VALIDATED, needed
from otrainer.stages.definition import fingerprints
from otrainer.stages.evaluate.keep import predictions_as
from otrainer.stages.evaluate.stage import not_trained
from otrainer.stages.fit.compose import start_as_given
from otrainer.stages.fit.fast import cut
from otrainer.stages.fit.start import refuse_taken, resumed_start
from otrainer.stages.fit.train import refuse_changed
from otrainer.stages.load_model import find_checkpoint, load_model
from otrainer.stages.plan import stamp_data
from otrainer.storage.build_lock import lock_build
from otrainer.storage.experiments import Experiment, find_experiment
from otrainer.storage.runs.archive import find_run
from otrainer.storage.runs.evaluations import refuse_foreign_evaluations
from otrainer.storage.runs.lock import lock_run
from otrainer.storage.runs.ownership import refuse_foreign_files, refuse_links
from otrainer.storage.runs.run_json import read_run, refuse_foreign, refuse_within
from otrainer.storage.watch_reads import ReadTracker
from otrainer.tasks.commandline import CommandLine
from otrainer.tasks.holds import shared_run_dir
from otrainer.tasks.selection import select
from otrainer.tasks.worker.client import death
from otrainer.tasks.worker.execute import execute

Found = Sequence[Finding] | Finding


@contextmanager
def without(package: str) -> Iterator[None]:
    """As if a package were not installed."""
    kept = {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] == package}
    sys.modules[package] = None  # type: ignore[assignment]  # how Python marks what cannot be imported
    try:
        yield
    finally:
        del sys.modules[package]
        sys.modules.update(kept)


# What a component finds while it is built or used.


def data_that_yields_nothing() -> None:
    fit(small_model(), Batches([]))


def a_loss_that_is_not_finite() -> None:
    fit(small_model(), Batches(random_batches(2)), loss=lambda *, outputs, **_: LossOutput(outputs.sum() * torch.nan))


def a_loss_that_returns_a_vector() -> None:
    fit(small_model(), Batches(random_batches(1)), loss=lambda *, outputs, **_: LossOutput(outputs))


def a_loss_that_returns_nothing() -> None:
    fit(small_model(), Batches(random_batches(1)), loss=lambda **_: None)


def a_loss_with_a_weight_for_each_sample() -> None:
    def loss(*, outputs: torch.Tensor, **_: Any) -> LossOutput:
        return LossOutput(outputs.mean(), weight=outputs)

    fit(small_model(), Batches(random_batches(1)), loss=loss)


def a_loss_with_an_unknown_reduction() -> None:
    def loss(*, outputs: torch.Tensor, **_: Any) -> LossOutput:
        return LossOutput(outputs.mean(), reduction="SUM")

    fit(small_model(), Batches(random_batches(1)), loss=loss)


def a_log_that_is_no_number() -> None:
    def loss(*, outputs: torch.Tensor, **_: Any) -> LossOutput:
        return LossOutput(outputs.mean(), logs={"per_sample": outputs})

    fit(small_model(), Batches(random_batches(1)), loss=loss)


def parameters_that_are_not_finite() -> None:
    check_finite({"model": {"0.weight": torch.tensor([torch.nan])}, "train_state": {"global_step": 1200}})


def a_checkpoint_that_cannot_be_written() -> None:
    Path("file").touch()
    state = {"model": {}, "train_state": {"global_step": 1}}
    write_checkpoint(state, (Path("file/last.pt"),))


def a_file_that_a_checkpoint_would_replace() -> None:
    Path("last.pt").touch()
    refuse_foreign_files([Path("last.pt")])


def a_checkpoint_of_weights_alone() -> None:
    raise no_run_in("runs/small/checkpoints/best.pt")


def a_link_where_a_run_is_written() -> None:
    Path("code").symlink_to("elsewhere")
    refuse_links([Path("code")])


def a_schedule_that_ends_before_the_run() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], momentum=0.9)
    schedule_mistakes(torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=39), 40)


def a_state_that_no_checkpoint_can_hold() -> None:
    class Keeps(torch.nn.Linear):
        def get_extra_state(self) -> Any:
            return {"at": object()}

    fit(Keeps(4, 1), Batches(random_batches(1)))


def a_value_to_watch_that_validation_does_not_log() -> None:
    monitored(SimpleNamespace(last_val_logs={"val_loss": 1.0}), "val_los", ("callbacks", 0))  # type: ignore[arg-type]


def a_sample_that_becomes_no_file() -> None:
    files_of({"score": 0.5}, Samples(lambda ctx: 0.5), ("callbacks", 0))


def a_hook_that_nobody_calls() -> None:
    class Late:
        def on_epoch_ends(self, ctx: Any) -> None: ...

    check_hooks([Late()], [])


def a_metric_that_computes_no_number() -> None:
    number_of("per_class", torch.zeros(16), 0)


def two_metrics_of_one_name() -> None:
    class Named:
        name = "error"

    check_metric_names([Named(), Named()])


def an_operation_that_is_not_deterministic() -> None:
    with deterministic():
        raise RuntimeError(
            "put_ does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this operation."
        )


def a_data_worker_that_dies() -> None:
    with worker_trouble():
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")


def a_precision_that_does_not_exist() -> None:
    check_device("cpu", "fp31")


def a_model_that_cannot_train() -> None:
    TorchOptimizerFactory("optim_cls.SGD", kwargs={"lr": 1}).build(torch.nn.ReLU(), registry=build_registry())


def an_optimizer_that_is_none() -> None:
    TorchOptimizerFactory("AdamW")


def a_factory_of_several_optimizers() -> None:
    class Two:
        def build(self, model: Any, *, registry: Any) -> Any:
            return [torch.optim.SGD([parameter]) for parameter in model.parameters()]

    fit(small_model(), Batches(random_batches(1)), optimizer=Two())


def a_factory_of_a_scheduler_alone() -> None:
    class Alone:
        def build(self, optimizer: Any, *, registry: Any) -> Any:
            return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    optimizer = torch.optim.SGD(small_model().parameters())
    build_schedule(Alone(), optimizer, None)


def several_loaders() -> None:
    loaders = {name: DataLoader(random_batches(2), batch_size=None) for name in ("day", "night")}
    fit(small_model(), Batches(loaders))


def a_width_that_no_batch_tells() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(1, 1))
    model[0].aside = torch.nn.LazyLinear(1)
    materialize(model, (torch.zeros(1, 1),))


def statistics_that_the_trainer_does_not_take() -> None:
    start_as_given(object(), torch.nn.Sequential(Normalize("x")), RunSettings(seed=0))


def a_path_that_finds_nothing_in_a_batch() -> None:
    MappingIO({"x": ["obs", 0]}).split({"x": torch.zeros(1)}, stage="train")


def several_outputs_where_the_loss_takes_one() -> None:
    pick_one({"logits": 1, "hidden": 2}, None, "outputs", ("loss", "outputs"))


def metrics_without_torchmetrics() -> None:
    spec = {"_type_": "metric.torchmetrics", "metric": "Accuracy"}
    with without("torchmetrics"):
        instantiate_value(spec, registry=build_registry(), config_path=("metrics", 0))


def arrays_without_safetensors() -> None:
    Path("a.safetensors").touch()
    with without("safetensors"):
        stamp(arrays("a.safetensors"))


def weights_of_another_model() -> None:
    torch.save({"0.weight": torch.zeros(2, 3), "1.wait": torch.zeros(2)}, "w.pt")
    model = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.LayerNorm(2))
    start_from(model, sources_in({"weights": {"from": "w.pt"}}))


def a_data_file_that_is_not_there() -> None:
    Path("train.npz").touch()
    stamp(arrays("trian.npz"))


def a_data_file_of_another_kind() -> None:
    Path("a.npzz").touch()
    stamp(arrays("a.npzz"))


def a_data_file_that_is_damaged() -> None:
    Path("a.npz").write_bytes(b"no zip")
    stamp(arrays("a.npz"))


def a_field_that_the_data_lacks() -> None:
    numpy.savez("a.npz", x=[1], y=[2])
    stamp(arrays("a.npz", fields=["xx"]))


def arrays_of_different_lengths() -> None:
    numpy.savez("a.npz", x=[1, 2], y=[1])
    stamp(arrays("a.npz"))


def secrets_that_cannot_be_read() -> None:
    def client(**options: str) -> object:
        return options

    registry = build_registry()
    registry.register_module("client", client)
    spec = {"_type_": "client", "a": "${secret:NO_SUCH_SECRET}", "b": "${secret:no-name}", "c": "${secret:SHORT}"}
    with patch.dict(os.environ, SHORT="a"):
        instantiate_value(spec, registry=registry, config_path=("loss",))


def a_secret_out_of_place() -> None:
    spec = {"_type_": "tensor", "data": "${secret:NO_SUCH_SECRET}"}
    instantiate_value(spec, registry=build_registry(), config_path=("loss",))


def data_that_is_neither_file_nor_folder() -> None:
    os.mkfifo("pipe.npz")
    stamp(arrays("pipe.npz"))


def data_files_that_are_no_list() -> None:
    class Odd:
        def train_dataloader(self) -> list[Any]:
            return []

        def files(self) -> str:
            return "train.npz"

    stamp({"_type_": "data.odd"}, **{"data.odd": Odd})


def weights_of_other_data() -> None:
    DatasetDataModule([{"x": 1}] * 3, sampler=WeightedSampler(weights=[1.0, 2.0])).train_dataloader()


def an_order_beyond_the_data() -> None:
    class Odd:
        def order(self, samples: int, **_: Any) -> list[int]:
            return list(range(1, samples + 1))

    next(iter(DatasetDataModule([{"x": 1}] * 3, sampler=Odd()).train_dataloader()))


def batches_beyond_the_data() -> None:
    class Odd:
        def batches(self, samples: int, **_: Any) -> list[list[int]]:
            return [[0, 1], [2, 3]]

    next(iter(DatasetDataModule([{"x": 1}] * 3, batch_sampler=Odd()).train_dataloader()))


def a_sample_that_is_too_long_for_a_batch() -> None:
    sampler = TokensBatchSampler("x", most=64, multiple_of=8)
    DatasetDataModule([{"x": 9}, {"x": 70}], batch_sampler=sampler).train_dataloader()


def a_split_that_leaves_nothing() -> None:
    DatasetDataModule([{"x": 1}] * 3, split={"val": 3}).train_dataloader()


def a_table_without_pyarrow() -> None:
    Path("a.parquet").touch()
    with without("pyarrow"):
        stamp({"_type_": "data.dataset", "train": {"_type_": "dataset.parquet", "path": "a.parquet"}})


def csv(name: str, rows: str, **options: Any) -> dict[str, Any]:
    Path(name).write_text("area,town\n70,Ulm\n" + rows)
    return {"_type_": "data.dataset", "train": {"_type_": "dataset.csv", "path": name, **options}}


def images_without_pillow() -> None:
    Path("images/cat").mkdir(parents=True)
    Path("images/cat/a.png").touch()
    with without("PIL"):
        stamp({"_type_": "data.dataset", "train": {"_type_": "dataset.image_folder", "path": "images"}})


def augmented_by(name: str) -> None:
    spec = {"_type_": "transform.torchvision", "transform": name}
    instantiate_value(spec, registry=build_registry(), config_path=("data",))


def a_transform_without_torchvision() -> None:
    with without("torchvision"):
        augmented_by("RandomCrop")


def a_torchvision_for_another_torch() -> None:
    Path("torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    with without("torchvision"), patch.object(sys, "path", [str(Path.cwd()), *sys.path]):
        del sys.modules["torchvision"]
        try:
            augmented_by("RandomCrop")
        finally:
            sys.modules["torchvision"] = ModuleType("torchvision")


def a_transform_that_is_not_there() -> None:
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.v2")
    with patch.dict(sys.modules, {name: ModuleType(name) for name in names}):
        vars(sys.modules[names[-1]])["RandomCrop"] = type
        augmented_by("RandomCorp")


def a_value_that_is_missing() -> None:
    stamp(csv("a.csv", ",Bonn\n,Ulm\n", features=["area"]))


def a_category_that_training_lacks() -> None:
    for name, rows in (("train.csv", ""), ("val.csv", "40,Um\n")):
        csv(name, rows)
    train, val = (CsvDataset(name, categories=["town"]) for name in ("train.csv", "val.csv"))
    val.fit_to(train, None)
    val.check()


def a_gap_that_is_filled_by_another_type() -> None:
    stamp(csv("a.csv", ",Bonn\n", features=["area"], fill={"area": "none"}))


def arrays(path: str, **options: Any) -> dict[str, Any]:
    return {"_type_": "data.dataset", "train": {"_type_": "dataset.arrays", "path": path, **options}}


def stamp(data: dict[str, Any], **components: Any) -> None:
    registry = build_registry()
    for name, factory in components.items():
        registry.register_module(name, factory)
    config = resolve_config({"schema_version": 1, "model": {}, "data": data})
    stamp_data(config, registry, Fingerprints(), Path.cwd(), ReadTracker(Path.cwd()))


def imports_that_are_no_modules() -> None:
    load_plugins(["plug/edited.py", 5], registry=build_registry(), settings=Settings())


def imports_that_are_no_list() -> None:
    load_plugins("plug.edited", registry=build_registry(), settings=Settings())


# What does not fit a checkpoint or a run that is there.


def a_model_of_another_shape() -> None:
    check_model(torch.nn.Linear(4, 2), {"model": {"weight": torch.zeros(2, 3), "scale": torch.zeros(1)}, "meta": {}})


def another_class_of_optimizer() -> None:
    check_built(built("AdamW"), {"meta": {"built": built("SGD")}})


def an_optimizer_state_that_does_not_fit() -> None:
    first, second = (torch.optim.SGD(torch.nn.Linear(1, 1, bias=bias).parameters(), lr=1) for bias in (True, False))
    load_optimizer(second, OptimizerState(first.state_dict(), None, None), None, unchanged=True)


def a_scheduler_that_was_not_there() -> None:
    check_built(built("SGD", scheduler={"class": "StepLR"}), {"meta": {"built": built("SGD")}})


def a_scheduler_with_another_step() -> None:
    now, kept = ({"class": "StepLR", "state": {"step_size": size}} for size in (1, 2))
    check_built(built("SGD", scheduler=now), {"meta": {"built": built("SGD", scheduler=kept)}})


def built(optimizer: str, scheduler: Any = None) -> dict[str, Any]:
    return {"optimizer": {"class": optimizer, "groups": []}, "scheduler": scheduler}


def a_state_of_a_class_that_is_gone() -> None:
    gone = {MARK: "named_tuple", "class": ["extensions.rows", "Row"], "fields": ["step"], "items": [3]}
    decoded(SimpleNamespace(), {"rows": [gone]}, ("callbacks", 0))


def data_with_a_state_of_its_own() -> None:
    Loader(lambda: [1], seed=0, stage="train").load_state_dict({"part": {}, "stream": None})


def fewer_epochs_than_there_were() -> None:
    DefaultTrainer(max_epochs=1).check_progress(TrainState(epoch=2))


def a_multiple_of_a_rate_that_is_not_there() -> None:
    model = small_model()
    grouped(model, [{"match": "*.bias", "lr_scale": 2}], [], None, dict(model.named_parameters()))


class SteppingItself(DefaultTrainer):
    def training_step(self, ctx: Any, batch: Any) -> None:
        ctx.backward(super().training_step(ctx, batch).loss)
        ctx.step("generater" if len(ctx.optimizers) > 1 else None)


def steps_of_its_own_under_accumulation() -> None:
    fit(small_model(), Batches(random_batches(1)), trainer=SteppingItself(grad_accum_steps=2))


def an_optimizer_by_a_name_that_is_none() -> None:
    named = {name: {"type": "optim_cls.SGD", "parameters": f"{at}.*"} for at, name in ((0, "generator"), (2, "critic"))}
    fit(small_model(), Batches(random_batches(1)), trainer=SteppingItself(), optimizer=named)


def an_optimizer_of_no_part_of_the_model() -> None:
    model = Components()
    model.add_module("critic", small_model())
    fit(model, Batches(random_batches(1)), optimizer={"critc": {"type": "optim_cls.SGD"}})


def a_trainer_that_cannot_be_cut_short() -> None:
    cut(object())


def averages_under_an_optimizer_that_has_its_own() -> None:
    class ScheduleFree(torch.optim.SGD):
        def train(self) -> None: ...
        def eval(self) -> None: ...

    class Factory:
        def build(self, model: Any, *, registry: Any) -> Any:
            return ScheduleFree(model.parameters(), lr=0.1)

    fit(small_model(), Batches(random_batches(1)), trainer={"ema": {"decay": 0.9}}, optimizer=Factory())


def two_optimizers_of_one_parameter() -> None:
    named = {name: {"type": "optim_cls.SGD"} for name in ("generator", "critic")}
    fit(small_model(), Batches(random_batches(1)), optimizer=named)


def an_optimizer_with_a_closure_among_others() -> None:
    named = {name: {"type": f"optim_cls.{name}"} for name in ("LBFGS", "SGD")}
    fit(small_model(), Batches(random_batches(1)), optimizer=named)


def a_schedule_as_long_as_a_run_of_no_known_length() -> None:
    phases = [{"type": "sched_cls.CosineAnnealingLR", "kwargs": {"T_max": "auto"}}]
    optimizer = torch.optim.SGD(small_model().parameters())
    build_schedule(PhasesFactory(phases), optimizer, build_registry(), None)


def a_phase_that_is_none() -> None:
    PhasesFactory(["warm-up"])  # type: ignore[list-item]


def phases_longer_than_the_run() -> None:
    lengths_of([{"length": 9}, {}], 9)


def a_checkpoint_of_another_program() -> None:
    with Path("foreign.pt").open("w+b") as stream:
        write_container(stream, {"weights": 1})
    load_checkpoint("foreign.pt")


def a_checkpoint_that_is_not_there() -> None:
    load_checkpoint("runs/a/last.pt")


def a_checkpoint_that_cannot_be_read() -> Found:
    return unreadable(Path("runs/a/last.pt"), OSError(5, "Input/output error")).findings


def a_checkpoint_with_a_secret_that_is_gone() -> None:
    refuse_lost({"loss": {"state": {"token": "${secret:GONE}"}}})


def inputs_that_the_model_has_not() -> None:
    inputs_by_name(SimpleNamespace(inputs=("x", "y"), defaults=()), ArgsKwargs(kwargs={"z": 1}))


def a_checkpoint_that_the_run_has_not() -> None:
    find_checkpoint(["checkpoints/last.pt", "checkpoints/best.pt"], "bets", "runs/a")


def nothing_to_resume() -> None:
    resumed_start(SimpleNamespace(run_dir="runs/a", config={}), Path.cwd())  # type: ignore[arg-type]


def checkpoints_of_another_run() -> None:
    Path("shared").mkdir()
    Path("shared/last.pt").touch()
    refuse_taken({"callbacks": [{"_type_": "cb.model_checkpoint", "save_dir": "shared"}]}, "runs/a", Path.cwd())


def data_that_changed_meanwhile() -> None:
    plan: Any = SimpleNamespace(code={}, data_files={"train.npz": {"sha256": "0"}})
    refuse_changed(plan, Path.cwd())


def a_plugin_that_was_edited_after_it_was_imported() -> None:
    __import__("plug.edited")
    refuse_stale(["plug.edited"], fingerprints(Path.cwd()))
    Path("plug/edited.py").write_text("x = 2\n")
    refuse_stale(["plug.edited"], fingerprints(Path.cwd()))


def a_damaged_run() -> None:
    Path("run.json").write_text("{")
    read_run(Path.cwd())


def an_artifact_that_is_not_as_it_was_left() -> None:
    needed(Experiment("x", Path("configs/experiments/x.yaml"), Path("build/x")), Path.cwd(), VALIDATED)


def a_folder_that_is_no_run() -> None:
    Path("mine").mkdir()
    Path("mine/thesis.tex").touch()
    refuse_foreign(Path("mine"), "mine")


def a_model_of_no_run() -> None:
    load_model("nowhere")


def a_run_within_a_run() -> None:
    Path("runs/a").mkdir(parents=True)
    Path("runs/a/run.json").touch()
    refuse_within(Path("runs/a/b"), "runs/a/b")


def a_run_that_is_being_written() -> None:
    with lock_run(Path("runs/a")), lock_run(Path("runs/a")):
        raise AssertionError("both have it")


def a_build_that_another_process_makes() -> None:
    with lock_build(Path("build/a"), 0, print), lock_build(Path("build/a"), 0, print):
        raise AssertionError("both have it")


def a_run_directory_that_cannot_be_made() -> None:
    Path("file").touch()
    with lock_run(Path("file/run")):
        raise AssertionError("it was made")


def an_unknown_run() -> None:
    find_run("baselin", Path.cwd())


# What doit is asked, and what becomes of it.

A, B = (Experiment(name, Path(f"configs/experiments/{name}.yaml"), Path("build", name)) for name in "ab")


def one_run_directory_for_two() -> Found:
    return shared_run_dir(B.name, A.name, "runs/a").findings


def a_command_with_every_mistake() -> None:
    verbs = dict.fromkeys(("train", "validate", "why"), "")
    select(CommandLine.parse(["trian", "train:bb", "why:a", "EXPP=1", "FORMAT=jsn", "EXP=a,c"]), verbs, Path.cwd())


def an_evaluation_on_what_there_is_not() -> None:
    select(CommandLine.parse(["evaluate", "EXP=a", "SPLIT=tests", "PREDICTIONS=csv"]), {"evaluate": ""}, Path.cwd())


def an_evaluation_of_what_was_not_trained() -> None:
    raise not_trained(A)


def a_split_that_the_data_do_not_have() -> None:
    raise no_split("test")


def data_without_a_batch_to_judge_by() -> None:
    raise nothing_to_judge()


def predictions_without_numpy() -> None:
    with without("numpy"):
        predictions_as("npz", Path.cwd())


def a_file_in_the_place_of_evaluations() -> None:
    Path("evaluation.json").write_text("{}")
    refuse_foreign_evaluations(Path.cwd())


def an_option_after_the_tasks() -> None:
    select(CommandLine.parse(["train", "EXP=a", "-n", "2"]), {"train": ""}, Path.cwd())


def what_other_tools_take() -> None:
    select(CommandLine.parse(["train", "EXP=a", "trainer.max_epochs=3", "--lr", "0.1"]), {"train": ""}, Path.cwd())


def verbs_for_different_experiments() -> None:
    select(CommandLine.parse(["validate", "train:b", "EXP=a"]), {"train": "", "validate": ""}, Path.cwd())


def a_format_for_another_task() -> None:
    select(CommandLine.parse(["train", "EXP=a", "FORMAT=json"]), {"train": ""}, Path.cwd())


def experiments_of_which_there_is_none() -> None:
    find_experiment("a", Path("elsewhere"))


def ask(query: str, *experiments: Experiment, **variables: str) -> Found:
    return answer(query, Question(Path.cwd(), experiments, variables, partial(execute, root=Path.cwd()))).findings


def a_difference_to_nothing() -> Found:
    return ask("diff", A)


def a_name_that_nothing_to_explain_has() -> Found:
    return ask("explain", KEY="optim_factory.trch")


def differences_of_several() -> Found:
    return ask("diff", A, B, WITH="a")


def a_difference_to_what_there_is_not() -> Found:
    return ask("diff", A, WITH="bb")


def an_answer_that_is_neither_yes_nor_no() -> Found:
    return ask("prune", YES="yes")


def a_worker_that_is_killed() -> Found:
    return death("fit:a", -signal.SIGKILL)


def a_worker_that_exits() -> Found:
    return death("fit:a", 3)


def a_full_disk() -> Found:
    found = cannot_write(OSError(28, "No space left on device", "runs/a/metrics.jsonl"))
    assert found is not None
    return found


def a_crash() -> Found:
    return unexplained(RuntimeError("the component's own mistake"))


def samples_that_make_no_batch() -> None:
    Collate()([{"x": torch.ones(2)}, {"x": torch.ones(3)}], [4, 7])


def validation_data_that_were_used_up() -> None:
    raise used_up("val", 1)


def another_batch_size_within_an_epoch() -> None:
    raise moved("batch_size", 4, 3, 5, {"batch_size": 4, "samples": 22})


def a_gradient_that_is_no_number() -> None:
    raise gradient_not_finite(15, 0, "layers.0.weight")


def an_optimizer_that_is_given_no_closure() -> None:
    def step() -> None:
        raise AssertionError("a closure is needed")

    call_step(step, chose_fused=False)


def an_unknown_way_to_resume_a_schedule() -> None:
    check_on_resume("recomputed")


def a_training_that_is_not_exact() -> None:
    facts = [
        [{"step": step, "at": "step", "facts": {"loss": str(step > 3 and number)}} for step in range(1, 5)]
        for number in (0, 1)
    ]
    compare(*facts)


def a_training_that_differs_from_the_start() -> None:
    compare(*([{"step": 1, "at": "step", "facts": {"batch": name, "rng": name}}] for name in "ab"))


def steps_that_are_other_ones() -> None:
    compare(*([{"step": step, "at": "step", "facts": {}} for step in range(count)] for count in (1, 2)))


def a_trainer_without_steps() -> None:
    compare([], [])


# Configs that are no files, or too large ones.


def a_dict_that_is_no_plain_data() -> None:
    resolve_config({"defaults": ["a"], "x": {1: 2}, "y": object()})


def a_dict_that_contains_itself() -> None:
    loop: dict[str, Any] = {}
    loop["x"] = loop
    resolve_config(loop)


def a_file_that_links_to_itself() -> None:
    Path("loop.yaml").symlink_to("loop.yaml")
    Path("above.yaml").write_text("schema_version: 1\nmodel: {}\ndefaults: [loop.yaml]\n")
    resolve_config("above.yaml")


def a_file_that_is_nested_too_deep() -> None:
    Path("deep.yaml").write_text("a: " + "[" * 1000 + "]" * 1000 + "\n")
    resolve_config("deep.yaml")


def a_file_that_grows_too_large() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{size}: &a{size} [{', '.join([f'*a{size - 1}'] * 10)}]" for size in range(1, 7)]
    Path("large.yaml").write_text("\n".join(lines) + "\n")
    resolve_config("large.yaml")


def expressions_that_grow_too_large() -> None:
    lines = ["schema_version: 1\nmodel: {}\na0: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for size in range(1, 7):
        reference = f"'${{a{size - 1}}}'"
        lines.append(f"a{size}: [{', '.join([reference] * 10)}]")
    Path("large.yaml").write_text("\n".join(lines) + "\n")
    resolve_config("large.yaml")


def expressions_beyond_all_steps() -> None:
    Path("large.yaml").write_text("a: 1\nb: " + "${a}" * 500_000 + "\n")
    resolve_config("large.yaml")


def a_file_that_is_too_large() -> None:
    Path("large.yaml").write_text("#" * 9_000_000)
    Path("above.yaml").write_text("defaults: [large.yaml]\n")
    resolve_config("above.yaml")


def a_file_that_the_system_makes_up() -> None:
    Path("above.yaml").write_text("defaults: [/proc/self/environ]\n")
    resolve_config("above.yaml")


def a_long_key() -> None:
    Path("long.yaml").write_text(f"? {'k' * 2_000}\n: 1\n")
    resolve_config("long.yaml")


def many_directives() -> None:
    Path("long.yaml").write_text("".join(f"%TAG !a{number}! x\n" for number in range(200)) + "---\na: 1\n")
    resolve_config("long.yaml")


def more_mistakes_than_are_told() -> None:
    Path("long.yaml").write_text("a: ${b}\nc: ${d}\ne: ${f}\nmodel: {}\nschema_version: 1\n")
    resolve_config("long.yaml", env={}, limits=Limits(mistakes=2))


def limits_that_are_none() -> None:
    limits_in_force({"OTRAINER_LIMITS": "nods=5"})
