"""A training step without numbers: what each part of it takes is noted in an estimate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parameter import is_lazy

from otrainer.commands.show_model.example import Example, built
from otrainer.commands.show_model.fake import fake_mode, faked, reason, said
from otrainer.commands.show_model.flops import flop_counter
from otrainer.commands.show_model.loss import place, scalar
from otrainer.commands.show_model.memory import Saved, optimizer_bytes, size_of
from otrainer.commands.show_model.rows import Meter, Row
from otrainer.commands.show_model.trace import BROKEN, DEPENDS, Break, Trace, settle_lazy
from otrainer.commands.show_model.words import calls, label
from otrainer.engine.accelerator import AUTOCAST
from otrainer.errors import ConfigError, Finding
from otrainer.model.codegen import write_graph
from otrainer.model.meta import META, empty_like, remade
from otrainer.stages.checks import off_the_compiler

if TYPE_CHECKING:
    from otrainer.commands.show_model.estimate import Estimate
    from otrainer.config import ResolvedConfig
    from otrainer.errors import Places, SourceLocation
    from otrainer.model.generated import GeneratedModel
    from otrainer.model.ir import ModelIR, Node
    from otrainer.registry import Registry


@dataclass
class Step:
    """A training step on tensors without numbers, which fills in what `made` has to say."""

    config: ResolvedConfig
    registry: Registry
    ir: ModelIR
    model: GeneratedModel
    example: Example
    made: Estimate

    def follow(self) -> None:
        """Forward, loss, backward, and a step of the optimizer."""
        made, device, example = self.made, self.made.device, self.example
        made.samples, made.source = example.samples, example.source
        graph = write_graph(self.ir.program, self.model.ops)
        inputs = by_name(self.ir.program.inputs, example.inputs)
        failed = settle_lazy(self.model, graph, faked(inputs, META))
        loss = built("loss", self.config, self.registry)
        with fake_mode():
            remade(self.model, lambda tensor: tensor if is_lazy(tensor) else empty_like(tensor, device))
            place(loss, device)
            saved = Saved(owned(self.model))
            with flop_counter() as counter:
                trace = Trace(self.model, Meter(counter.get_total_flops, lambda: saved.bytes), calls(self.ir), failed)
                with saved.watching(), self._autocast():
                    outputs = trace.run(graph, faked(inputs, device))
                    self._tell(trace)
                    targets, batch = (faked(part, device) for part in (example.targets, example.batch))
                    value = scalar(loss, outputs, targets, batch, made)
                forward = counter.get_total_flops()
                went = value is not None and self._backward(value)
                made.flops = forward, counter.get_total_flops() - forward if went else None
            made.memory["gradients"] = self._gradients(complete=went)
            made.memory["optimizer"] = self._optimizer()
            made.memory["activations"] = saved.bytes

    def _tell(self, trace: Trace) -> None:
        """Keep what came out of each node, and why something did not."""
        self.made.rows = trace.rows
        self.made.findings += [self._finding(each) for each in trace.breaks]
        self.made.notes += [*unchecked(trace.rows), *uncounted(self.model, self.made.device)]

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = AUTOCAST.get(self.made.run.precision)
        return nullcontext() if dtype is None else torch.autocast(self.made.device.type, dtype=dtype)

    def _backward(self, loss: torch.Tensor) -> bool:
        try:
            loss.backward()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            self.made.notes.append(f"The backward pass is unchecked: {reason(error)}.")
            return False
        return True

    def _gradients(self, *, complete: bool) -> int:
        """The bytes of the gradients; where the backward pass is not known, every parameter that trains has one."""
        trained = [each for each in self.model.parameters() if each.requires_grad and not is_lazy(each)]
        for parameter in () if complete else trained:
            parameter.grad = torch.empty_like(parameter)
        return sum(size_of(each) for each in trained if each.grad is not None)

    def _optimizer(self) -> int | None:
        try:
            with off_the_compiler():
                optimizer = built("optimizer", self.config, self.registry).build(self.model, registry=self.registry)
                self.made.optimizer = type(optimizer).__name__
                return optimizer_bytes(optimizer)
        except ConfigError as error:
            self.made.findings += error.findings
        except Exception as error:  # noqa: BLE001 - an optimizer that needs numbers is not wrong
            self.made.notes.append(f"The optimizer's state is unchecked: {reason(error)}.")
        return None

    def _finding(self, found: Break) -> Finding:
        """What is told of a node that fails, at its place in the config."""
        own = found.error if isinstance(found.error, ConfigError) else None
        where = f" in its `{found.inside}`" if found.inside else ""
        call = calls(self.ir)[found.node.name]
        what = own.findings[0].message if own else said(found.error)
        return Finding(
            f"`{label(found.node)}` ({call}) fails{where}: {what.rstrip('.')}.",
            title="model fails",
            config_path=found.node.path,
            hint=f"It was given {found.given}.",
            related=tuple(self._written(found.node, self.config.source_map)),
        )

    def _written(self, node: Node, places: Places) -> Iterator[tuple[str, SourceLocation]]:
        """Where the node's module is written, if that is elsewhere."""
        path = self.ir.spec_path(node)
        place = places.locate(path) if path != node.path else None
        if place is not None:
            yield f"`{node.target}` is written", place


def unchecked(rows: Sequence[Row]) -> Iterator[str]:
    """Why nodes could not be followed, of those where it begins."""
    for row in rows:
        if row.unchecked not in ("", BROKEN, DEPENDS):
            yield f"`{row.name}` ({row.call}) is unchecked, and so is what depends on it: {row.unchecked}."


def uncounted(model: torch.nn.Module, device: torch.device) -> Iterator[str]:
    """Layers that one kernel computes, of which torch counts no FLOPs, and whose workspace only that kernel knows."""
    whole = torch.nn.LSTM if device.type == "cpu" else torch.nn.RNNBase
    kinds = dict.fromkeys(type(each).__name__ for each in model.modules() if isinstance(each, whole))
    if kinds:
        yield f"Of `nn.{'`, `nn.'.join(kinds)}` torch counts no FLOPs, and not all that its kernel keeps."


def by_name(names: tuple[str, ...], inputs: Any) -> dict[str, Any]:
    """The model's inputs by name; raises ConfigError where `io` gives others than it has."""
    given = {**dict(zip(names, inputs.args, strict=False)), **inputs.kwargs}
    if len(inputs.args) > len(names) or set(given) != set(names):
        count = f"{len(inputs.args)} by position and " if inputs.args else ""
        told = ", ".join(f"`{name}`" for name in inputs.kwargs) or "none by name"
        message = f"`io` gives {count}{told}, and the model has the inputs {', '.join(f'`{name}`' for name in names)}."
        hint = "Let `io.model_kwargs` name each input of the model, and nothing else."
        raise ConfigError(message, title="inputs do not fit", config_path=("io",), hint=hint)
    return {name: given[name] for name in names}


def owned(model: GeneratedModel) -> list[torch.Tensor]:
    return [each for each in (*model.parameters(), *model.buffers()) if not is_lazy(each)]
