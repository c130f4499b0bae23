"""The composition: a model without numbers, a batch for it, a training step over both, and what that takes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from otrainer.commands.show_model.example import DECLARE, find_example
from otrainer.commands.show_model.memory import PARTS, size_of
from otrainer.commands.show_model.rows import Row, parameters_of
from otrainer.commands.show_model.step import Step, owned
from otrainer.commands.show_model.words import key_of_spec
from otrainer.engine.accelerator import device_available, known_device
from otrainer.engine.state import RunSettings
from otrainer.errors import ConfigError, Finding
from otrainer.model import blueprint, compile_model, has_lazy
from otrainer.stages.checks import find_mistakes

if TYPE_CHECKING:
    from otrainer.config import ResolvedConfig
    from otrainer.model.generated import GeneratedModel
    from otrainer.model.ir import ModelIR
    from otrainer.registry import Registry


@dataclass
class Estimate:
    """What a training step takes. `memory` is in bytes by part, None where a part is not known.

    `flops` are those of the forward pass with the loss and of the backward pass; `notes` say what was not followed,
    `findings` what fails.
    """

    run: RunSettings
    device: torch.device
    rows: list[Row] = field(default_factory=list)
    parameters: int = 0
    memory: dict[str, int | None] = field(default_factory=dict)
    flops: tuple[int, int | None] | None = None
    samples: int | None = None
    source: str = ""
    optimizer: str = ""
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def wanted(self) -> torch.device:
        """The device that the run asks for, which may not be here."""
        return torch.device(self.run.device)

    @property
    def total(self) -> int:
        """The bytes of all parts that are known, which never take more at once."""
        return sum(size for size in self.memory.values() if size is not None)

    @property
    def complete(self) -> bool:
        """Whether nothing of the step is left out."""
        followed = not any(row.unchecked for row in self.rows) and self.flops is not None and self.flops[1] is not None
        return followed and all(self.memory.get(part) is not None for part in PARTS)


def estimate(config: ResolvedConfig, registry: Registry) -> Estimate:
    """What a training step of the experiment takes; plugins are loaded into `registry`, and nothing is written.

    Raises ConfigError with what is wrong with the config, and where a part of it cannot be built.
    """
    if mistakes := find_mistakes(config, registry):
        raise ConfigError.of(mistakes)
    ir = compile_model(config.data["model"], registry=registry, settings=config.settings)
    run = RunSettings.of(config.data["run"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training tells them
        model = blueprint(ir, registry, config.settings)
        made = Estimate(run, where(run.device))
        if made.device.type != made.wanted.type:
            made.notes.append(f"There is no `{run.device}` here: what its kernels keep is taken as on the CPU.")
        found = find_example(config, registry)
        if isinstance(found, str):
            by_modules(made, ir, model, found)
        else:
            Step(config, registry, ir, model, found, made).follow()
        made.parameters = parameters_of(model)
        made.memory = {"weights": weights_of(model), **made.memory}
    return made


def where(device: str) -> torch.device:
    """The device whose kernels are asked what they would keep; nothing is put on it."""
    wanted = known_device(device)
    return wanted if wanted.type == "cuda" and device_available(wanted) else torch.device("cpu")


def by_modules(made: Estimate, ir: ModelIR, model: GeneratedModel, why: str) -> None:
    """What is known without a batch: the parameters of each module."""
    for spec in ir.modules:
        row = Row(spec.name, key_of_spec(spec.spec), parameters=parameters_of(model.get_submodule(spec.name)))
        made.rows.append(row)
    if open_widths := [spec.name for spec in ir.modules if has_lazy(model.get_submodule(spec.name))]:
        made.notes.append(f"Widths that a batch decides are not counted: in `{'`, `'.join(open_widths)}`.")
    made.notes += [f"No shapes are known: {why.rstrip('.')}.", DECLARE]


def weights_of(model: GeneratedModel) -> int:
    """The bytes of parameters and buffers."""
    return sum(size_of(each) for each in owned(model))
