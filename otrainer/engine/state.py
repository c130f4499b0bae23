"""What a run is (settings), how far it is (state), and what hooks get to see of it (context)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from otrainer.engine.step_methods import StepMethods
from otrainer.engine.turns import Turns
from otrainer.errors import ConfigError, Finding, nearest

if TYPE_CHECKING:
    import torch

    from otrainer.engine.averaging import Averaging
    from otrainer.engine.checkpoint.baseline import Baseline
    from otrainer.engine.data.loader import Loader
    from otrainer.engine.data.validation_sets import ValidationSets
    from otrainer.registry import Registry


@dataclass
class TrainState:
    """Where training stands.

    `epoch` counts from 0 and is the one in progress (the last one, once fit ended); `global_step` counts optimizer
    steps; `micro_step_in_epoch` counts the micro-batches of this epoch that went into them. `epoch_complete` says that
    this epoch was trained, validated and its metrics logged, so that a continuation begins with the next one.
    `epoch_trained` says that all its steps were taken, whatever came after them. `should_stop` says that training was
    asked to end after this epoch. `is_cut` says that this epoch was ended by the length of the run, with data left;
    `seconds` how long was trained, where that bounds the run or says when to validate; `validated_at` after how many of
    them the last validation came, and `validations` how many came so, `logged_at` when a row came so.
    """

    epoch: int = 0
    global_step: int = 0
    micro_step_in_epoch: int = 0
    epoch_complete: bool = False
    epoch_trained: bool = False
    should_stop: bool = False
    is_cut: bool = False
    seconds: float = 0.0
    validated_at: float = 0.0
    validations: int = 0
    logged_at: float = 0.0

    def state_dict(self) -> dict[str, float]:
        return {part.name: getattr(self, part.name) for part in fields(self)}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Stand where `state` says; files of before there was a field do not have it."""
        for part in fields(self):
            setattr(self, part.name, state.get(part.name, part.default))

    @property
    def epochs_done(self) -> int:
        return self.epoch + (self.epoch_complete and not self.is_cut)


@dataclass
class Progress:
    """What the composition root records of a run: filled in by the trainer, whoever called it.

    `outputs` are the checkpoints that are there, the newest last, and `saved` the steps and epochs of that one;
    `inherited` are those that came along from the run that this one goes on from. `metrics` are the last validation
    values, and `metrics_step` says of which step, where that is known.
    """

    state: TrainState = field(default_factory=TrainState)
    metrics: dict[str, float] = field(default_factory=dict)
    metrics_step: int | None = None
    outputs: list[str] = field(default_factory=list)
    inherited: list[str] = field(default_factory=list)
    saved: tuple[int, int] | None = None
    on_output: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self._untouched = self.state
        self.changed: set[str] = set()

    @property
    def is_told(self) -> bool:
        """Whether the trainer said how far it is: it put its own state here, or counted in the one that was here."""
        return self.state is not self._untouched or self.state != TrainState()

    def note_values(self, values: Mapping[str, float], step: int) -> None:
        """Note the values of a validation after so many optimizer steps."""
        self.metrics, self.metrics_step = dict(values), step

    def note_outputs(self, written: Sequence[str], removed: Sequence[str] = (), *, at: tuple[int, int] | None) -> None:
        """Note checkpoints that were `written`, again or for the first time; the newest is `at` these steps and epochs.

        `changed` says which, for whoever takes note of them by `on_output`.
        """
        passed = {*written, *removed}
        self.changed |= passed
        self.outputs = [*(path for path in self.outputs if path not in passed), *written]
        self.saved = at
        if self.on_output is not None:
            self.on_output()


@dataclass(frozen=True)
class RunSettings(Mapping[str, Any]):
    """The `run` section; reads as an object (`run.seed`) and as a mapping (`run["seed"]`).

    `config` is the whole resolved config as plain data, `definition` the sha256 over all that decides what is trained,
    `progress` what the trainer reports back; none of them is part of the mapping.
    """

    name: str = "run"
    out_dir: str = "runs/run"
    seed: int = 0
    device: str = "cpu"
    precision: str = "fp32"
    deterministic: bool = False
    compile: bool | Mapping[str, Any] = False
    matmul_precision: str | None = None
    fast: bool = False
    resume_from: str | None = None
    config: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    definition: str | None = field(default=None, repr=False, compare=False)
    progress: Progress = field(default_factory=Progress, repr=False, compare=False)

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> RunSettings:
        """`run` itself, or its settings where it is a plain mapping (unset and null keys take the defaults).

        Raises ConfigError for keys that it does not have.
        """
        if isinstance(run, cls):
            return run
        known = [part.name for part in fields(cls)]
        unknown = [
            Finding(
                f"`run` has no key `{key}`.", "unknown key", ("run", key), on_key=True, suggestions=nearest(key, known)
            )
            for key in run
            if key not in known
        ]
        if unknown:
            raise ConfigError.of(unknown)
        return cls(**{key: value for key, value in run.items() if value is not None})

    def __getitem__(self, key: str) -> Any:
        if key in RUN_KEYS:
            return getattr(self, key)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(RUN_KEYS)

    def __len__(self) -> int:
        return len(RUN_KEYS)


NO_KEYS = ("config", "definition", "progress")
RUN_KEYS = tuple(part.name for part in fields(RunSettings) if part.name not in NO_KEYS)


@dataclass
class RunContext(StepMethods):
    """What callbacks see: the parts of a run, where it stands, and the latest logs.

    `train` hands out the training batches, `val` those of validation; `built` are the hyperparameters of optimizer and
    scheduler as the config gives them; `validated` says whether validation ran in this epoch, so that `last_val_logs`
    are of now; setting `should_stop` ends training after it; `at_boundary` says whether all state is that of a whole
    step, but for `metrics_ahead`: how many micro-batches of the step to come each metric has seen, and `turns`: who is
    still to have a turn after the step that was; `averaging` takes averages of the weights; `own` are the steps of a
    trainer of the user's, in which alone the methods act; `grad_norms` are those of the step under way, where they are
    logged; `epoch_means` those of training values in this epoch, likewise.
    """

    run: RunSettings
    state: TrainState
    device: torch.device
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler | None
    datamodule: Any
    train: Loader
    io: Any
    loss: Any
    metrics: Sequence[Any]
    callbacks: Sequence[Any]
    loggers: Sequence[Any]
    registry: Registry | None
    baseline: Baseline
    built: dict[str, Any]
    scaler: Any = None
    last_train_logs: Mapping[str, float] = field(default_factory=dict)
    last_val_logs: Mapping[str, float] = field(default_factory=dict)
    validated: bool = False
    at_boundary: bool = True
    logged_step: int = 0
    metrics_ahead: list[int] = field(default_factory=list)
    turns: Turns = field(default_factory=Turns)
    own: Any = None
    averaging: Averaging | None = None
    val: Loader | ValidationSets | None = None
    grad_norms: dict[str, torch.Tensor] = field(default_factory=dict)
    epoch_means: Any = None

    def __post_init__(self) -> None:
        self.metrics_ahead = [0] * len(self.metrics)

    @property
    def should_stop(self) -> bool:
        return self.state.should_stop

    @should_stop.setter
    def should_stop(self, value: bool) -> None:
        self.state.should_stop = bool(value)
