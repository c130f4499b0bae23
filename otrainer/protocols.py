"""The interfaces of a run's parts: what a plugin may define, when each method is called, and what it gets and returns.

A class fits if it has the methods; it need not inherit. Methods marked `optional` may be left out: inherit from the
protocol, and type checkers accept that. What a part may offer besides its role stands at the end. A part's constructor
gets the arguments that the config gives.

`stage` is "train" or "val" wherever nothing else is said. Tensors of a batch are on the run's device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from torch import Generator, Tensor, device, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

# Whatever a data module's loader yields and a model returns: tensors, or mappings, sequences and dataclasses of them.
Batch: TypeAlias = Any
Outputs: TypeAlias = Any
Targets: TypeAlias = Any
Meta: TypeAlias = Any

Method = TypeVar("Method", bound=Callable[..., Any])


def optional(method: Method) -> Method:
    """Mark a method that a class may leave out, or inherit: then it does what stands here, be it a bare `return`."""
    method.__isoptional__ = True  # type: ignore[attr-defined]  # functions carry any attribute
    return method


def is_optional(method: object) -> bool:
    """Return whether a class may leave out a protocol's method."""
    return getattr(method, "__isoptional__", False)


# Data that passes between the parts


@dataclass
class ArgsKwargs:
    """The inputs of a model call: `model(*args, **kwargs)`."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass
class LossOutput:
    """A scalar `loss` to minimise, and `logs` (numbers or 0-dim tensors) to log beside it.

    `weight` is how much the loss is a mean over: samples, tokens, boxes; a number, a 0-dim tensor, or a function of no
    arguments that returns one and is only called where it is needed. Validation takes means with it, and so does
    gradient accumulation: a step over several micro-batches then equals one over all of them at once. Without it, the
    number of samples counts; see `IO.split`. `reduction` is "sum" where the loss is a sum over these, not a mean.
    """

    loss: Tensor
    logs: Mapping[str, Any] = field(default_factory=dict)
    weight: float | Tensor | Callable[[], float | Tensor] | None = None
    reduction: str = "mean"


@dataclass
class SchedulerBundle:
    """A scheduler and its rhythm: every `frequency` steps or epochs, or validations with the value called `monitor`.

    `interval` is "step" (optimizer steps), "epoch" or "metric"; `monitor` names a logged validation value, as
    `val_loss`, and is needed with "metric". Training does not start with any other rhythm. A resume under another
    schedule is refused; with `on_resume` "recompute" it takes the learning rate that the new one has at that point.
    """

    scheduler: Any
    interval: str = "epoch"
    frequency: int = 1
    monitor: str | None = None
    on_resume: str = "refuse"


# What may stand in place of a length of torch's schedulers, and the arguments that are one.
AUTO = "auto"
LENGTHS = ("total_steps", "T_max", "total_iters", "T_0")


class RunLength(NamedTuple):
    """How many optimizer steps, epochs and validations (`metric`) a whole run has; None where that is not known."""

    step: int | None
    epoch: int | None
    metric: int | None

    def turns(self, interval: str, frequency: int = 1) -> int | None:
        """Return how often what goes by this interval has its turn."""
        count: int | None = self._asdict().get(interval)
        return None if count is None else count // frequency


# What the parts are given


class Entry(Protocol):
    """A registered component; `target` is the class or function itself."""

    @property
    def name(self) -> str: ...
    @property
    def target(self) -> Callable[..., Any]: ...


class Registry(Protocol):
    """Every key that a config may name; a plugin's `register(registry)` adds its own, factories look classes up."""

    def register_module(
        self,
        name: str,
        factory: Callable[..., Any] | str,
        *,
        signature_policy: str = "strict",
        tags: Iterable[str] = (),
        doc: str | None = None,
        without_effect: Mapping[str, Iterable[str]] | Iterable[str] = (),
    ) -> None:
        """Let `_type_: name` build what `factory`, a callable or "package.module:attr", returns.

        `without_effect` names the arguments that cannot change what is trained, such as `num_workers`: another value
        retrains nobody. `["*"]` says it of the component as a whole, which only prints, say. A mapping has conditions:
        `{"num_workers": ["train"]}` holds where the argument `train` is a data set of a class with `__getitem__`.

        Raises ConfigError for a taken or malformed key, for a class that does not fit its prefix's protocol, and for
        names of `without_effect` that are no arguments.
        """

    def register_op(self, name: str, fn: Callable[..., Any] | str, *, doc: str | None = None) -> None:
        """Let a model's graph call `fn` as `op:name`."""

    def get_module(self, name: str) -> Entry:
        """Return what is registered under a key; raise ConfigError with the nearest keys where nothing is."""

    def list_modules(self) -> list[str]:
        """Return all keys, sorted."""


class State(Protocol):
    """Where training stands.

    `epoch` counts from 0; `global_step` counts optimizer steps; `micro_step_in_epoch` counts the batches of this epoch
    that went into them; `epochs_done` counts epochs that were trained, validated and logged.
    """

    @property
    def epoch(self) -> int: ...
    @property
    def global_step(self) -> int: ...
    @property
    def micro_step_in_epoch(self) -> int: ...
    @property
    def epochs_done(self) -> int: ...


class Run(Protocol):
    """The config's section `run`, by attributes and by keys; `config` is the whole resolved config."""

    @property
    def name(self) -> str: ...
    @property
    def out_dir(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def config(self) -> Mapping[str, Any] | None: ...
    def __getitem__(self, key: str, /) -> Any: ...


class Context(Protocol):
    """What a callback may rely on: the parts of a run, where it stands, and the latest logs.

    `last_train_logs` are those of the last optimizer step, `last_val_logs` those of the last validation, which was in
    this epoch if `validated`; `scaler` is torch's for fp16, else None. Setting `should_stop` ends training after the
    epoch.
    """

    should_stop: bool

    @property
    def run(self) -> Run: ...
    @property
    def state(self) -> State: ...
    @property
    def device(self) -> device: ...
    @property
    def model(self) -> nn.Module: ...
    @property
    def optimizer(self) -> Optimizer: ...
    @property
    def scheduler(self) -> LRScheduler | None: ...
    @property
    def scaler(self) -> Any: ...
    @property
    def datamodule(self) -> DataModule: ...
    @property
    def io(self) -> IO: ...
    @property
    def loss(self) -> Loss: ...
    @property
    def metrics(self) -> Sequence[Metric]: ...
    @property
    def callbacks(self) -> Sequence[Callback]: ...
    @property
    def loggers(self) -> Sequence[Logger]: ...
    @property
    def registry(self) -> Registry | None: ...
    @property
    def last_train_logs(self) -> Mapping[str, float]: ...
    @property
    def last_val_logs(self) -> Mapping[str, float]: ...
    @property
    def validated(self) -> bool: ...


class StepContext(Context, Protocol):
    """What `training_step` and `validation_step` of a trainer act by: a `Context` with the steps of a run.

    Names are those of the optimizers in the config; a single one goes without. A step that calls `step` itself returns
    what is logged, by name; `trainer.default` does the rest for one that returns a loss.
    """

    @property
    def models(self) -> Mapping[str, nn.Module]:
        """The parts of the model by their names."""

    @property
    def optimizers(self) -> Mapping[str, Optimizer]: ...

    def forward(self, *args: Any, **kwargs: Any) -> Outputs:
        """Return the outputs of the model, compiled where the run says so."""

    def backward(self, loss: Tensor, *, retain_graph: bool = False) -> None:
        """Add the gradients of a scalar. Raises ConfigError for one that is not finite."""

    def step(self, name: str | None = None) -> None:
        """Clip the gradients of an optimizer, or of all, step it, and clear its gradients.

        One with `every_n_steps` leaves its parameters as they are where it is not its turn. Raises ConfigError under
        `grad_accum_steps` or `accumulate`, and for a name that there is not.
        """

    def zero_grad(self, name: str | None = None) -> None:
        """Clear the gradients of an optimizer, or of all."""

    def only(self, name: str) -> AbstractContextManager[None]:
        """Let none but the parameters of one optimizer require gradients in the block."""

    def is_due(self, name: str) -> bool:
        """Return whether an optimizer has its turn in this step."""

    def update_metrics(self, outputs: Outputs, targets: Targets, batch: Batch) -> None:
        """Let the metrics see a batch."""


# The nine parts of a run


class Trainer(Protocol):
    """Own the loop (`trainer.*`): train a model to the end, or until a signal.

    What it leaves in `run.progress` (state, metrics, checkpoints) is what run.json and the summary say. Extend
    `otrainer.engine.trainer.DefaultTrainer` rather than write the loop anew.
    """

    def fit(
        self,
        *,
        model: nn.Module,
        datamodule: DataModule,
        io: IO,
        loss: Loss,
        optimizer_factory: OptimizerFactory,
        scheduler_factory: SchedulerFactory | None,
        metrics: Sequence[Metric],
        callbacks: Sequence[Callback],
        loggers: Sequence[Logger],
        registry: Registry,
        run: Any,
    ) -> None:
        """Train `model`, which is on the CPU still, under the settings of `run`, a `Run`.

        Continue from the checkpoint `run.resume_from` where it is not None.
        """

    @optional
    def check_progress(self, state: State, /) -> None:
        """Raise ConfigError where a checkpoint is further than this config asks for; called before a resume."""
        return


class DataModule(Protocol):
    """Make the loaders of a run (`data.*`).

    A loader is any iterable of batches. A resume starts a sequence at its batch, asks an `EpochLoader` for those that
    are left, and hands a `Stateful` one its state; it reads any other again up to its batch.
    """

    @optional
    def setup(self, stage: str, /) -> None:
        """Prepare the data; called once before the loaders are asked for, with "fit"."""
        return

    def train_dataloader(self) -> Iterable[Batch]:
        """Return the training batches; called once, or for each epoch where it returns an iterator."""

    @optional
    def val_dataloader(self) -> Iterable[Batch] | dict[str, Iterable[Batch]] | None:
        """Return the validation batches, those of several sets by their names, or None for no validation."""
        return None

    @optional
    def batches_of(self, split: str, /) -> Iterable[Batch] | None:
        """Return the batches of "train", "val" or "test" to judge a model by, in order; None where there are none.

        It is also asked by the name of a validation set that `val_dataloader` does not have.
        """
        return None

    @optional
    def example_batch(self) -> Batch | None:
        """Return a batch without reading data, for `doit show MODEL=1`; its tensors may be on the device `meta`."""
        return None


class Sampler(Protocol):
    """Order the training samples of an epoch (`sampler.*`, as `sampler` of `data.dataset`)."""

    @optional
    def prepare(self, dataset: Any, /) -> None:
        """Look at the training data, once a run, before the first epoch."""
        return

    @optional
    def samples_in_epoch(self, samples: int, /) -> int:
        """Return how many samples each epoch has, of a dataset with so many; without it, as many."""
        return samples

    def order(self, samples: int, /, *, epoch: int, batch_size: int, generator: Generator) -> Sequence[int] | Tensor:
        """Return the numbers of an epoch's samples in order, of which each `batch_size` make a batch.

        What is random in it comes from `generator`, which is seeded by the run's seed and the epoch: so that a resume
        has the same.
        """


class BatchSampler(Protocol):
    """Make the batches of training samples of an epoch (`batch_sampler.*`, as `batch_sampler` of `data.dataset`)."""

    @optional
    def prepare(self, dataset: Any, /) -> None:
        """Look at the training data, once a run, before the first epoch."""
        return

    @optional
    def batches_in_epoch(self, samples: int, /) -> int:
        """Return how many batches each epoch has, of a dataset with so many samples; without it, nobody knows."""
        raise NotImplementedError

    def batches(self, samples: int, /, *, epoch: int, generator: Generator) -> Sequence[Sequence[int]]:
        """Return an epoch's batches, each with the numbers of its samples.

        What is random in them comes from `generator`, which is seeded by the run's seed and the epoch: so that a
        resume has the same.
        """


class IO(Protocol):
    """Split batches (`io.*`)."""

    def split(self, batch: Batch, /, *, stage: str) -> tuple[ArgsKwargs, Targets, Meta]:
        """Return the model's inputs, what loss and metrics compare with, and anything for trainers of your own.

        The names in the inputs are the model's own. The third, where it is a mapping with `weight`, says how much the
        batch counts in means, unless the loss does. Without either it is the number of samples: as the built-in data
        modules know it, else the first dimension of the model's first input that is a tensor.
        """

    @optional
    def example_batch(self) -> Batch | None:
        """Return a batch without reading data, where the data module does not."""
        return None


class Loss(Protocol):
    """Judge the model's outputs (`loss.*`).

    Modules and parameters that it is or holds are the run's: they move to the device, are trained, saved, and set to
    training and evaluation like the model's.
    """

    def __call__(self, *, outputs: Outputs, targets: Targets, batch: Batch, stage: str) -> LossOutput:
        """Return a scalar tensor, with a gradient if `stage` is "train", and logs; called under autocast."""


class OptimizerFactory(Protocol):
    """Build the optimizer (`optim_factory.*`); a `type` of the constructor is a key `optim_cls.*`."""

    def build(self, model: nn.Module, /, *, registry: Registry) -> Optimizer:
        """Return an optimizer over those of the model's parameters that shall be trained, on the device already.

        It must build the same parameter groups in the same order each time: a resume builds it twice.
        """


class SchedulerFactory(Protocol):
    """Build the learning rate's schedule (`sched_factory.*`); a `type` of the constructor is a key `sched_cls.*`."""

    def build(self, optimizer: Optimizer, /, *, registry: Registry) -> SchedulerBundle:
        """Return a scheduler of `optimizer` and when it steps.

        A `build` with a keyword `length` gets the `RunLength` too, or None from a trainer that does not know it.
        """


class Callback(Protocol):
    """Act at certain points of training (`cb.*`), in the order of the config.

    `runs_last` moves a callback's hooks behind those of all others: a checkpoint then holds what the others did. One
    whose `stops_within_epoch` is true ends training at the next step by `should_stop`, and one whose `only_looks` is
    true promises that what it keeps of a step within it does not matter after a failure.
    """

    runs_last: bool = False

    @optional
    def on_fit_start(self, ctx: Context, /) -> None:
        """Act once all is built and a checkpoint is loaded."""
        return

    @optional
    def on_epoch_start(self, ctx: Context, /) -> None:
        """Act before the first batch of an epoch is loaded; not where a run goes on within one."""
        return

    @optional
    def on_train_batch_end(self, ctx: Context, batch: Batch, output: LossOutput, /) -> None:
        """Act once a micro-batch has its gradients; `output` is what the loss returned, without its graph.

        A step of a trainer's own that steps optimizers itself has its logs in it, and a `loss` that is no number unless
        it logs one. What `ctx.state` counts is still that of the step before.
        """
        return

    @optional
    def on_before_optimizer_step(self, ctx: Context, optimizer: Optimizer, /) -> None:
        """Act once a step has all its gradients, before they are clipped, for each optimizer that is stepped.

        They are not scaled, for fp16 either, and may be changed. A run that fails in a step in which this, or
        `on_train_batch_end`, was called goes on from its last checkpoint.
        """
        return

    @optional
    def on_train_step_end(self, ctx: Context, /) -> None:
        """Act after each optimizer step, once it is logged."""
        return

    @optional
    def on_validation_start(self, ctx: Context, /) -> None:
        """Act before each validation, while the model still trains; once, also where a stop lets it begin anew."""
        return

    @optional
    def on_validation_end(self, ctx: Context, /) -> None:
        """Act after each validation, in an epoch or at its end, once `ctx.last_val_logs` has its values."""
        return

    @optional
    def on_train_epoch_end(self, ctx: Context, /) -> None:
        """Act after an epoch's last step, before validation and all else of the epoch's end."""
        return

    @optional
    def on_epoch_end(self, ctx: Context, /) -> None:
        """Act after validation, logging and the scheduler; the metrics still hold the epoch."""
        return

    @optional
    def on_save(self, ctx: Context, /) -> dict[str, Any]:
        """Return what a checkpoint is to keep of this callback, in place of `state_dict`; nothing is to change by it.

        It is called for each state that is taken, with the run as that has it.
        """
        return {}

    @optional
    def on_load(self, ctx: Context, saved: dict[str, Any], /) -> None:
        """Go on from what `on_save` returned; called on resume, once all else is as the checkpoint has it."""
        return

    @optional
    def on_exception(self, ctx: Context, exc: BaseException, /) -> None:
        """Act once training fails or a signal stops it (`TrainingInterrupted`); what this raises hides nothing."""
        return

    @optional
    def on_fit_end(self, ctx: Context, /) -> None:
        """Act once training is done."""
        return


HOOKS = tuple(name for name, method in vars(Callback).items() if is_optional(method))


class Logger(Protocol):
    """Take what is logged (`log.*`)."""

    @optional
    def log_hparams(self, hparams: Mapping[str, Any], /) -> None:
        """Take the whole resolved config, once, before the first row."""
        return

    @optional
    def log_metrics(self, metrics: Mapping[str, float], /, *, step: int, stage: str) -> None:
        """Take a row: floats by name, as of `step` optimizer steps.

        Stage "train": means over a step's micro-batches, and `lr`. "val": `val_loss`, the loss's logs as `val_...`, and
        metrics, after each validation. "metrics": what metrics computed of training, at each epoch's end.
        """
        return

    @optional
    def log_arrays(self, arrays: Mapping[str, Any], /, *, step: int, stage: str) -> None:
        """Take matrices and curves that metrics computed, as numpy's arrays by name, after the row of `step`."""
        return

    @optional
    def close(self) -> None:
        """Finish; called at the end of training, however it came."""
        return


class Metric(Protocol):
    """Judge whole epochs (`metric.*`); two of one class must not have the same `name`."""

    @optional
    def update(self, *, outputs: Outputs, targets: Targets, batch: Batch, stage: str) -> None:
        """Take a micro-batch of training or validation; no gradients are recorded."""
        return

    @optional
    def compute(self) -> Mapping[str, Any] | float:
        """Return numbers by name, or one that goes by the class's name; called at each epoch's end.

        Names that begin with `train` are logged as stage "metrics", others with the validation values.
        """
        return {}

    @optional
    def reset(self) -> None:
        """Begin anew; called before each epoch."""
        return


# What any part may offer besides


class DeclaresFiles(Protocol):
    """Name the data files that a component reads: other content is another definition, and retrains."""

    def files(self) -> Iterable[str | PathLike[str]]:
        """Return paths, from the project's root where they are relative; called at validation, on the built part."""


class ChecksFiles(DeclaresFiles, Protocol):
    """Look into the declared files early."""

    def check(self) -> None:
        """Raise ConfigError for what is wrong with the files; called at validation, where all of them are there."""


@runtime_checkable
class Stateful(Protocol):
    """Keep state in checkpoints: of callbacks, metrics, loggers, the loss, data modules, loaders and datasets.

    Without it, attributes that changed since a part was built are kept (of data, its random generators alone).
    """

    def state_dict(self) -> dict[str, Any]:
        """Return the state: tensors, numbers, texts, arrays, and containers of them, as Python and numpy have them."""

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Go on from what `state_dict` returned; called on resume, before `on_fit_start`."""


@runtime_checkable
class EpochLoader(Protocol):
    """Begin anywhere in any epoch without reading what comes before: for loaders, also with another seed."""

    def iterate_epoch(self, *, seed: int, epoch: int, start: int) -> Iterator[Batch]:
        """Return the batches of `epoch` from number `start` on, which depend on the three numbers alone."""


@runtime_checkable
class CountsSamples(Protocol):
    """Know the size of each batch before it is read: for loaders, so that no tensor's shape is taken for it."""

    def samples_in(self, number: int, /) -> int | None:
        """Return how many samples batch `number` of any epoch holds, counted from 0; None where epochs differ."""


class BatchDataset(Protocol):
    """Hand out whole batches: for a dataset of `data.dataset`, where no `collate` is configured."""

    def batch(self, indices: Sequence[int], /) -> Batch:
        """Return the samples at `indices`, stacked already."""


class SplitsAmongWorkers(Protocol):
    """Promise, by `splits_among_workers = True`, that an iterable dataset reads its share in each data worker.

    It finds that by `torch.utils.data.get_worker_info()`; without the promise it is refused with `num_workers`.
    """

    splits_among_workers: bool
