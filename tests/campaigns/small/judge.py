"""What becomes of an experiment: equal to plain torch and to itself when it is stopped, or in what it differs."""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from campaigns.plain.data import field_of
from campaigns.plain.loop import Task, Trace, train
from campaigns.plain.losses import LOSSES, build_loss, weight_of
from campaigns.plain.models import build_model, prediction
from campaigns.plain.optimizers import build_optimizer, build_scheduler, parameter_groups
from campaigns.plain.user import CALLBACKS, METRICS
from torch import nn

from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.checkpoint.compare import values_in

from .compare import differences, distance, rows_apart, size_of, tensors_of
from .draw import Experiment
from .order import order_faults
from .parts import START, Seen, fit

FEW, MANY = 3, 20  # other ways to round that are tried, and that are tried where something is apart still
LOOSE = 1e-3  # where rounding may explain more than this part of a number, a comparison says little


@dataclass
class Verdict:
    """In what an experiment differs from plain torch and from itself.

    `spreads` are the parts of each tensor's greatest number that rounding may take; none where not a bit differs from
    plain torch.
    """

    differs: list[str] = field(default_factory=list)
    spreads: tuple[float, ...] = ()
    stops: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        if self.differs:
            return "wrong"
        return "equal but for rounding" if self.spreads else "equal to the bit"

    @property
    def loose(self) -> int:
        """How many tensors were compared so loosely that it says little."""
        return sum(spread > LOOSE for spread in self.spreads)


def by_hand(drawn: Experiment, seen: Seen, rounding: int | None = None) -> tuple[Task, Trace]:
    """The experiment in plain torch, on the batches that were recorded."""
    model = build_model(drawn.model, drawn.output, drawn.seed)
    criterion = build_loss(drawn.loss, drawn.dtype)
    extra = list(criterion.parameters()) if isinstance(criterion, nn.Module) else []
    groups = parameter_groups(model, drawn.groups)
    optimizer = build_optimizer(groups, drawn.optimizer, extra, plain_loops=drawn.plain_loops)
    scheduler = None if drawn.scheduler == "none" else build_scheduler(drawn.scheduler, optimizer, drawn.length)
    task = Task(
        model=model,
        criterion=criterion,
        optimizer=optimizer,
        inputs=partial(field_of, name="x"),
        targets=partial(field_of, name="y"),
        prediction=partial(prediction, form=drawn.output),
        weight=lambda batch: weight_of(drawn.loss, field_of(batch, "y")),
        sums=LOSSES[drawn.loss].mean_over == "sum",
        logs=None if drawn.loss_by == "loss.torch" else lambda loss: {"double": loss * 2},
        epochs=drawn.epochs,
        accumulate=drawn.accumulate,
        clip=drawn.clip,
        bfloat16=drawn.precision == "bf16-mixed",
        validate_every=drawn.validate_every,
        scheduler=scheduler,
        interval=drawn.interval,
        frequency=drawn.frequency,
        metrics=[make() for make in METRICS[drawn.metrics]],
        callbacks=[CALLBACKS[name]() for name in (drawn.callback, drawn.other_callback)],
        patience=drawn.patience,
        unit=unit_of(drawn),
        rounding=None if rounding is None else torch.Generator().manual_seed(rounding),
    )
    torch.manual_seed(START)
    return task, train(task, [*seen.train, *[[]] * drawn.epochs], [each for each in seen.val if each])


def against_plain(
    drawn: Experiment, folder: Path, plain: Experiment | None = None
) -> tuple[list[str], tuple[float, ...]]:
    """In what a training differs from plain torch; and how much of each tensor rounding may explain, if that matters.

    `plain` is another experiment that plain torch shall train: one that must not come to the same.
    """
    plain = plain or drawn
    seen = Seen()
    parts = fit(drawn, folder, seen)
    assert parts is not None
    if faults := order_faults(drawn, seen):
        return faults, ()
    mine = tensors_of(*held_by(parts, seen))
    task, trace = by_hand(plain, seen)
    theirs = tensors_of(task.model, task.criterion, task.optimizer)
    if strange := mine.keys() ^ theirs.keys():
        strange -= held_by_chance(plain, seen, theirs)
    if strange:
        return [f"holds other tensors: {sorted(strange)}"], ()
    rows = parts["loggers"][0].rows
    if [row[:2] for row in rows] != [row[:2] for row in trace.rows]:
        return [f"logs other rows: {[row[:2] for row in rows]}, not {[row[:2] for row in trace.rows]}"], ()
    apart = {name: distance(mine[name], theirs[name]) for name in mine if name in theirs}
    apart |= rows_apart(rows, trace.rows)
    if not any(apart.values()):
        return [], ()
    sizes = {name: size_of(value) for name, value in theirs.items()}
    allowed = rounding_of(plain, seen, theirs, trace, sizes, range(FEW))
    far = [name for name in apart if not apart[name] <= allowed[name]]
    if far:
        # What is rounded coarsely on its way, as autocast's outputs are, seldom moves, and then at once by much.
        allowed = rounding_of(plain, seen, theirs, trace, sizes, range(FEW, MANY))
        far = [name for name in far if not apart[name] <= allowed[name]]
    spreads = tuple(allowed[name] / max(size, 1e-3) for name, size in sizes.items())
    return [f"{name}: {apart[name]:.2g} apart, rounding explains {allowed[name]:.2g}" for name in far], spreads


def unit_of(drawn: Experiment) -> float:
    """One unit in the last place: of bfloat16 where autocast multiplies a loss's shares through its layers."""
    shares = drawn.precision == "bf16-mixed" and drawn.accumulate > 1
    return torch.finfo(torch.bfloat16 if shares else drawn.dtype).eps


def held_by_chance(drawn: Experiment, seen: Seen, theirs: dict[str, torch.Tensor]) -> set[str]:
    """The tensors that are there or not as gradients are rounded, as entries of LBFGS's history are."""
    found = set()
    for number in range(MANY):
        task, _ = by_hand(drawn, seen, rounding=number)
        found |= tensors_of(task.model, task.criterion, task.optimizer).keys() ^ theirs.keys()
    return found


def rounding_of(
    drawn: Experiment,
    seen: Seen,
    theirs: dict[str, torch.Tensor],
    trace: Trace,
    sizes: dict[str, float],
    numbers: range,
) -> defaultdict[str, float]:
    """How far rounding may take each number: 8 times as far as it is taken where plain torch rounds each gradient
    another way, by one unit in the last place, and 8 such units of the greatest number beside it."""
    eps = torch.finfo(drawn.dtype).eps
    allowed = defaultdict(lambda: 8 * eps, {name: 8 * eps * max(1e-3, size) for name, size in sizes.items()})
    for number in numbers:
        task, other = by_hand(drawn, seen, rounding=number)
        tensors = tensors_of(task.model, task.criterion, task.optimizer)
        moved = {name: distance(value, tensors[name]) for name, value in theirs.items() if name in tensors}
        if [row[:2] for row in other.rows] == [row[:2] for row in trace.rows]:
            moved |= rows_apart(other.rows, trace.rows)
        for name, far in moved.items():
            allowed[name] = max(allowed[name], 8 * far + 8 * eps * max(1e-3, sizes.get(name, 1.0)))
    return allowed


def held_by(parts: dict[str, Any], seen: Seen) -> tuple[nn.Module, Any, torch.optim.Optimizer]:
    """What a training left in memory: its model, its loss, and its optimizer."""
    return parts["model"], parts["loss"].fn, seen.optimizer


def against_itself(drawn: Experiment, folder: Path) -> tuple[list[str], tuple[int, ...]]:
    """In what a training differs that was stopped at two batches, drawn from the seed, and continued."""
    whole, seen = folder / "whole", Seen()
    parts = fit(drawn, whole, seen)
    assert parts is not None
    chance = random.Random(f"{drawn.seed}/stops")
    stops = (chance.randrange(seen.calls), chance.randrange(max(1, seen.calls // 2)))
    again = None
    for stop in (*stops, None):
        last = Seen()
        again = fit(drawn, folder / "stopped", last, stop_at=stop)
        if again is not None:
            break
    assert again is not None
    files, others = ({path.name for path in each.iterdir()} for each in (whole, folder / "stopped"))
    found = [f"file {name}" for name in files ^ others]
    for name in sorted(files & others):
        one, other = (values_in(load_checkpoint(each / name)) for each in (whole, folder / "stopped"))
        # Which older files were there at that moment is a matter of how fast the disk was.
        found += [f"{name}: {each}" for each in differences(one, other) if name == "last.pt" or ".steps." not in each]
    found += [
        f"in memory: {each}"
        for each in differences(*(tensors_of(*held_by(*each)) for each in ((parts, seen), (again, last))))
    ]
    if again["loggers"][0].rows != parts["loggers"][0].rows:
        found.append("rows")
    return found, stops


def judge(drawn: Experiment) -> Verdict:
    """Train an experiment by otrainer, by hand, and by otrainer with two stops."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in ("plain", "whole", "stopped"):
            (folder / each).mkdir()
        wrong, spreads = against_plain(drawn, folder / "plain")
        unequal, stops = against_itself(drawn, folder)
    return Verdict([*(f"plain: {each}" for each in wrong), *(f"stopped: {each}" for each in unequal)], spreads, stops)
