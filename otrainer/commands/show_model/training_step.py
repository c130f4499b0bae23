"""A training step without numbers: what each part of it takes is noted in an estimate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parameter import is_lazy

from otrainer.commands.show_model.calls import flop_counter
from otrainer.commands.show_model.example import Example, build_section
from otrainer.commands.show_model.fake import explain, fake_mode, needs_numbers, summarize, to_fake
from otrainer.commands.show_model.graph_run import BROKEN, DEPENDS, Break, GraphRun, has_unknown, materialize_lazy
from otrainer.commands.show_model.labels import describe_shapes, label, label_calls
from otrainer.commands.show_model.memory import (
    SavedTensors,
    averages_bytes,
    model_tensors,
    optimizer_bytes,
    tensor_bytes,
)
from otrainer.engine.accelerator import AUTOCAST
from otrainer.engine.compiler import off_the_compiler
from otrainer.engine.loss_check import check_loss
from otrainer.engine.optimizers import optimizer_factory
from otrainer.engine.pure import PURE, narrowed
from otrainer.engine.tree import leaves
from otrainer.errors import ConfigError, Finding
from otrainer.model.codegen import write_graph
from otrainer.model.meta import META, remade

if TYPE_CHECKING:
    from otrainer.commands.show_model.estimate import Estimate, Row
    from otrainer.config import ResolvedConfig
    from otrainer.model.generated import GeneratedModel
    from otrainer.model.ir import ModelIR, Program
    from otrainer.registry import Registry


@dataclass
class TrainingStep:
    """A training step on tensors without numbers, which fills in its part of `estimate`."""

    config: ResolvedConfig
    registry: Registry
    ir: ModelIR
    model: GeneratedModel
    example: Example
    estimate: Estimate

    def follow(self) -> None:
        """Go through forward, loss, backward, and a step of the optimizer."""
        estimate, device, example = self.estimate, self.estimate.device, self.example
        estimate.example = example
        graph = write_graph(self.ir.program, self.model.ops)
        inputs = inputs_by_name(self.ir.program, example.inputs)
        failed = materialize_lazy(self.model, graph, to_fake(inputs, META))
        loss = build_section("loss", self.config, self.registry)
        with fake_mode():
            place = partial(placed, device=device, is_pure=estimate.run.precision == PURE)
            remade(self.model, lambda tensor: tensor if is_lazy(tensor) else place(tensor))
            for part in (loss, *getattr(loss, "__dict__", {}).values()):
                if isinstance(part, torch.nn.Module):  # training moves a loss that is one, or holds some
                    remade(part, place)
            saved = SavedTensors(model_tensors(self.model))
            with flop_counter() as counter:
                labels = label_calls(self.ir)
                run = GraphRun(self.model, lambda: (counter.get_total_flops(), saved.bytes), labels, failed)
                dtype = AUTOCAST.get(estimate.run.precision)
                with saved, torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                    outputs = run.run(graph, place(inputs))
                    self._note(run)
                    targets, batch = (place(part) for part in (example.targets, example.batch))
                    value = scalar_loss(loss, outputs, targets, batch, estimate)
                forward = counter.get_total_flops()
                went = value is not None and self._backward(value)
                estimate.flops = forward, counter.get_total_flops() - forward if went else None
            estimate.memory["gradients"] = self._gradients(complete=went)
            estimate.memory["optimizer"] = self._optimizer()
            estimate.memory["activations"] = saved.bytes

    def _note(self, run: GraphRun) -> None:
        """Note what came out of each node, and why something did not."""
        self.estimate.rows = run.rows
        self.estimate.findings += [self._finding(each, run.labels[each.node.name]) for each in run.breaks]
        self.estimate.notes += [*unchecked_notes(run.rows), *uncounted_notes(self.model, self.estimate.device)]

    def _backward(self, loss: torch.Tensor) -> bool:
        try:
            loss.backward()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is noted
            self.estimate.notes.append(f"The backward pass is unchecked: {explain(error)}.")
            return False
        return True

    def _gradients(self, *, complete: bool) -> int:
        """Return the bytes of the gradients; without a backward pass, each parameter that trains has one."""
        trained = [each for each in self.model.parameters() if each.requires_grad and not is_lazy(each)]
        for parameter in () if complete else trained:
            parameter.grad = torch.empty_like(parameter)
        return sum(tensor_bytes(each) for each in trained if each.grad is not None)

    def _optimizer(self) -> int | None:
        try:
            with off_the_compiler():
                factory = optimizer_factory(build_section("optimizer", self.config, self.registry))
                optimizer = factory.build(self.model, registry=self.registry)
                self.estimate.optimizer = type(optimizer).__name__
                averages = averages_bytes(self.config.data["trainer"], optimizer, self.model)
                if averages is not None:
                    self.estimate.memory["averages"] = averages
                return optimizer_bytes(optimizer)
        except ConfigError as error:
            self.estimate.findings += error.findings
        except Exception as error:  # noqa: BLE001 - an optimizer that needs numbers is not wrong
            self.estimate.notes.append(f"The optimizer's state is unchecked: {explain(error)}.")
        return None

    def _finding(self, found: Break, call: str) -> Finding:
        """Report a node that fails at its place in the config, with that of its module if it is written elsewhere."""
        node, error = found.node, found.error
        where = f" in its `{found.inside}`" if found.inside else ""
        what = error.findings[0].message if isinstance(error, ConfigError) else summarize(error)
        spec = self.ir.spec_path(node)
        written = self.config.source_map.locate(spec) if spec != node.path else None
        return Finding(
            f"`{label(node)}` ({call}) fails{where}: {what.rstrip('.')}.",
            title="model fails",
            config_path=node.path,
            hint=f"It was given {found.given}.",
            related=((f"`{node.target}` is written", written),) if written else (),
        )


def unchecked_notes(rows: Sequence[Row]) -> Iterator[str]:
    """Say why nodes could not be followed, of those where it begins."""
    for row in rows:
        if row.unchecked not in ("", BROKEN, DEPENDS):
            yield f"`{row.name}` ({row.call}) is unchecked, and so is what depends on it: {row.unchecked}."


def uncounted_notes(model: torch.nn.Module, device: torch.device) -> Iterator[str]:
    """Name layers that one kernel computes: torch counts no FLOPs of them, and only the kernel knows its workspace."""
    whole = torch.nn.LSTM if device.type == "cpu" else torch.nn.RNNBase
    kinds = dict.fromkeys(type(each).__name__ for each in model.modules() if isinstance(each, whole))
    if kinds:
        yield f"Of `nn.{'`, `nn.'.join(kinds)}` torch counts no FLOPs, and not all that its kernel keeps."


def inputs_by_name(program: Program, inputs: Any) -> dict[str, Any]:
    """Return the model's inputs by name; raise ConfigError where `io` gives others than it has."""
    names = program.inputs
    given = {**dict(program.defaults), **dict(zip(names, inputs.args, strict=False)), **inputs.kwargs}
    if len(inputs.args) > len(names) or set(given) != set(names):
        count = f"{len(inputs.args)} by position and " if inputs.args else ""
        named = ", ".join(f"`{name}`" for name in inputs.kwargs) or "none by name"
        message = f"`io` gives {count}{named}, and the model has the inputs {', '.join(f'`{name}`' for name in names)}."
        hint = "Let `io.model_kwargs` name each input of the model, and nothing else."
        raise ConfigError(message, title="inputs do not fit", config_path=("io",), hint=hint)
    return {name: given[name] for name in names}


def scalar_loss(loss: Any, outputs: Any, targets: Any, batch: Any, estimate: Estimate) -> torch.Tensor | None:
    """Return the loss of the outputs, or what stands for it, noted in `estimate`; None where nothing has a gradient."""
    if has_unknown(outputs):
        estimate.notes.append("The loss is unchecked, as what the model returns is.")
        return sum_outputs(outputs)
    try:
        return check_loss(loss(outputs=outputs, targets=targets, batch=batch, stage="train"), loss)
    except ConfigError as error:
        estimate.findings += error.findings
    except Exception as error:  # noqa: BLE001 - whatever a loss raises is reported with its place
        if needs_numbers(error):
            estimate.notes.append(f"The loss is unchecked, and the sum of the outputs stands for it: {explain(error)}.")
            return sum_outputs(outputs)
        message = f"`{type(loss).__qualname__}` fails: {summarize(error)}."
        hint = f"It was given outputs {describe_shapes(outputs)} and targets {describe_shapes(targets)}."
        estimate.findings.append(Finding(message, title="loss fails", config_path=("loss",), hint=hint))
    return None


def sum_outputs(outputs: Any) -> torch.Tensor | None:
    """Return the sum of all outputs that have a gradient."""
    parts = [leaf.float().sum() for leaf in leaves(outputs) if leaf.requires_grad]
    return torch.stack(parts).sum() if parts else None


def placed(tree: Any, *, device: torch.device, is_pure: bool) -> Any:
    """Return the same structure without numbers on the device, in the precision that training puts it in."""
    fake = to_fake(tree, device)
    return narrowed(fake) if is_pure else fake
