"""An estimate as people read it: a row for each node, then what a training step takes in all."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from string import digits
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otrainer.commands.show_model.estimate import Row
from otrainer.commands.show_model.graph_run import BROKEN
from otrainer.commands.show_model.labels import describe_shapes
from otrainer.commands.show_model.memory import GIB, device_memory, smallest_device
from otrainer.diagnostics.quantities import BYTES
from otrainer.diagnostics.redaction.values import masked
from otrainer.diagnostics.say import in_a_line

if TYPE_CHECKING:
    from rich.console import JustifyMethod

    from otrainer.commands.show_model.estimate import Estimate

WIDTH = 80
COUNTS = ("", "K", "M", "G", "T", "P", "E")
Node = Sequence[Row]  # its own row, and those inside of it


def render(estimate: Estimate) -> str:
    """Draw the estimate for the terminal's width and colours, or for a file in 80 columns without any."""
    terminal = is_terminal()
    out = io.StringIO()
    width = max(WIDTH, shutil.get_terminal_size().columns) if terminal else WIDTH
    colour = terminal and not os.environ.get("NO_COLOR")
    console = Console(file=out, width=width, force_terminal=colour, color_system="standard" if colour else None)
    for part in (Text(headline(estimate), style="bold"), "", node_table(estimate), "", totals(estimate)):
        console.print(part)
    if estimate.groups:
        console.print("", group_table(estimate), sep="\n")
    for note in estimate.notes:
        console.print(
            Text(f"\n{in_a_line(masked(note))}")
        )  # a secret that is broken into lines would be seen by nobody
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def is_terminal() -> bool:
    return sys.stdout.isatty()


def headline(estimate: Estimate) -> str:
    example = estimate.example
    batch = [] if example is None or example.samples is None else [f"a batch of {example.samples:,} ({example.source})"]
    run = f"{estimate.run.precision} on {estimate.run.device}"
    return ", ".join([f"{estimate.parameters:,} parameters", *batch, run])


def node_table(estimate: Estimate) -> Table:
    """Draw a row for each node, and for what it calls; without shapes, the parameters alone."""
    table = plain_table()
    columns = [column for column in COLUMNS if estimate.flops is not None or column.always]
    for column in columns:
        justify: JustifyMethod = "right" if column.counts else "left"
        table.add_column(column.name, justify=justify, no_wrap=column.counts, overflow="fold")
    starts = [number for number, row in enumerate(estimate.rows) if not row.depth or not number]
    nodes = [estimate.rows[start:end] for start, end in pairwise([*starts, len(estimate.rows)])]
    for row in collapse_repeats(nodes):
        style = "dim" if row.depth else "yellow" if row.unchecked else ""
        table.add_row(*(Text(column.text(row)) for column in columns), style=style)
    return table


def plain_table(*, header: bool = True) -> Table:
    """Return a table without lines, whose columns stand two blanks apart."""
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=header, header_style="bold")


def totals(estimate: Estimate) -> Table:
    """Draw the memory by its parts and together, and the FLOPs."""
    table = plain_table(header=False)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    remarks = {
        "optimizer": estimate.optimizer,
        "averages": "of the weights",
        "activations": "saved for the backward pass",
    }
    for part, size in estimate.memory.items():
        table.add_row(part, "unknown" if size is None else bytes_text(size), remarks.get(part, ""))
    if estimate.flops is not None:
        forward, backward = estimate.flops
        if estimate.is_complete:
            name, words, counted = "together", fits(estimate), "FLOPs, the loss included"
        else:
            name, words, counted = "at least", "with what is unchecked on top", "FLOPs at least"
        table.add_row(name, bytes_text(estimate.total_memory), words, style="bold")
        table.add_row("forward", count_text(forward), counted)
        table.add_row("backward", "unknown" if backward is None else count_text(backward), "FLOPs")
    return table


def group_table(estimate: Estimate) -> Table:
    """Draw the groups in which the optimizer trains the parameters."""
    table = plain_table()
    for name in ("group", "parameters", "numbers", "trained with"):
        counts = name in ("parameters", "numbers")
        table.add_column(name, justify="right" if counts else "left", no_wrap=counts, overflow="fold")
    for row in estimate.groups:
        table.add_row(Text(row.name), f"{row.parameters:,}", f"{row.numbers:,}", Text(row.options))
    return table


def fits(estimate: Estimate) -> str:
    """Name the size of memory that holds it, and what is there."""
    own = device_memory(estimate.device) if estimate.is_on_wanted_device else None
    here = "" if own is None else f"; `{estimate.run.device}` has {own / GIB:.1f} GiB here"
    return f"fits in {smallest_device(estimate.total_memory):,} GiB{here}"


def collapse_repeats(nodes: Iterable[Node]) -> Iterator[Row]:
    """Yield the rows, with neighbours that differ by their number only as one: `layers.1-32`, `block each`."""
    for _, group in groupby(enumerate(nodes), key=likeness):
        (head, *inside), *more = (node for _, node in group)
        if more:
            _, last = split_number(more[-1][0].name)
            head = replace(head, name=f"{head.name}-{last}", call=f"{head.call} each")
        yield head
        yield from collapse_repeats([row] for row in inside)


def likeness(numbered: tuple[int, Node]) -> tuple[str | int, list[Row]]:
    """Return what is the same for all of a run of numbered layers, and for no other node beside it."""
    place, (head, *inside) = numbered
    stem, number = split_number(head.name)
    rows = (replace(head, name=stem), *inside)
    shown = [replace(row, value=describe_shapes(row.value)) for row in rows]
    return int(number) - place if number else str(place), shown


def split_number(name: str) -> tuple[str, str]:
    """Return a name without the digits at its end, and these."""
    stem = name.rstrip(digits)
    return stem, name[len(stem) :]


def bytes_text(count: int) -> str:
    return scaled(count, 1024, BYTES)


def count_text(count: int) -> str:
    return scaled(count, 1000, COUNTS).rstrip()


def scaled(count: int, base: int, units: Sequence[str]) -> str:
    """Write a number of at most four digits and its unit, the first under which it is below `base`."""
    value = float(count)
    for unit in units[:-1]:
        if round(value, 1) < base:
            return f"{value:,.0f} {unit}" if unit == units[0] or value >= 100 else f"{value:.1f} {unit}"
        value /= base
    return f"{value:,.1f} {units[-1]}"


def outcome(row: Row) -> str:
    if row.unchecked:
        return "fails" if row.unchecked == BROKEN else "unchecked"
    return describe_shapes(row.value)


class Column(NamedTuple):
    """A column of the nodes' table; those that are not there `always` need shapes."""

    name: str
    text: Callable[[Row], str]
    counts: bool = False
    always: bool = False


COLUMNS = (
    Column("node", lambda row: f"{'  ' * row.depth}{row.name}", always=True),
    Column("layer", lambda row: row.call, always=True),
    Column("output", outcome),
    Column("parameters", lambda row: f"{row.parameters:,}" if row.parameters else "", counts=True, always=True),
    Column("FLOPs", lambda row: count_text(row.flops) if row.flops else "", counts=True),
    Column("saved", lambda row: bytes_text(row.saved) if row.saved else "", counts=True),
)
