"""An estimate as people read it: a row for each node, then what a training step takes in all."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otrainer.commands.show_model.memory import GIB, device_memory, usual_size
from otrainer.commands.show_model.rows import Row
from otrainer.commands.show_model.trace import BROKEN
from otrainer.commands.show_model.words import shapes
from otrainer.diagnostics.redaction.values import masked

if TYPE_CHECKING:
    from rich.console import JustifyMethod

    from otrainer.commands.show_model.estimate import Estimate

WIDTH = 80
NUMBERED = re.compile(r"(.*?)(\d+)")
BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
COUNTS = ("", "K", "M", "G", "T", "P", "E")
Unit = Sequence[Row]


def drawn(made: Estimate) -> str:
    """The estimate for the terminal's width and colours, or for a file in 80 columns without any."""
    terminal = is_terminal()
    out = io.StringIO()
    width = max(WIDTH, shutil.get_terminal_size().columns) if terminal else WIDTH
    colour = terminal and not os.environ.get("NO_COLOR")
    console = Console(file=out, width=width, force_terminal=colour, color_system="standard" if colour else None)
    for part in (Text(headline(made), style="bold"), "", node_table(made), "", sums(made)):
        console.print(part)
    for note in made.notes:
        console.print(Text(f"\n{masked(note)}"))  # a secret that is broken into lines would be seen by nobody
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def is_terminal() -> bool:
    return sys.stdout.isatty()


def headline(made: Estimate) -> str:
    batch = [] if made.samples is None else [f"a batch of {made.samples:,} ({made.source})"]
    return ", ".join([f"{made.parameters:,} parameters", *batch, f"{made.run.precision} on {made.run.device}"])


def node_table(made: Estimate) -> Table:
    """A row for each node, and for what it calls; without shapes, the parameters alone."""
    table = plain_table()
    columns = [column for column in COLUMNS if made.flops is not None or column.always]
    for column in columns:
        justify: JustifyMethod = "right" if column.counts else "left"
        table.add_column(column.name, justify=justify, no_wrap=column.counts, overflow="fold")
    for row in merged(units_of(made.rows)):
        style = "dim" if row.depth else "yellow" if row.unchecked else ""
        table.add_row(*(Text(column.text(row)) for column in columns), style=style)
    return table


def plain_table(*, header: bool = True) -> Table:
    """A table without lines, whose columns stand two blanks apart."""
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=header, header_style="bold")


def sums(made: Estimate) -> Table:
    """The memory by its parts and together, and the FLOPs."""
    table = plain_table(header=False)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    said = {"optimizer": made.optimizer, "activations": "saved for the backward pass"}
    for part, size in made.memory.items():
        table.add_row(part, "unknown" if size is None else bytes_text(size), said.get(part, ""))
    if made.flops is not None:
        name, words = ("together", fits(made)) if made.complete else ("at least", "with what is unchecked on top")
        table.add_row(name, bytes_text(made.total), words, style="bold")
        forward, backward = made.flops
        table.add_row("forward", count_text(forward), "FLOPs, the loss included" if made.complete else "FLOPs at least")
        table.add_row("backward", "unknown" if backward is None else count_text(backward), "FLOPs")
    return table


def fits(made: Estimate) -> str:
    """The size of memory that holds it, and what is there."""
    own = device_memory(made.device) if made.device.type == made.wanted.type else None
    here = "" if own is None else f"; `{made.run.device}` has {own / GIB:.1f} GiB here"
    return f"fits in {usual_size(made.total):,} GiB{here}"


def units_of(rows: Sequence[Row]) -> list[list[Row]]:
    """Each node's row with those inside of it."""
    units: list[list[Row]] = []
    for row in rows:
        if row.depth and units:
            units[-1].append(row)
        else:
            units.append([row])
    return units


def merged(units: Sequence[Unit]) -> Iterator[Row]:
    """The rows, with layers in a row that differ by their number only as one: `layers.1-32`, `block each`."""
    runs: list[list[Unit]] = []
    for unit in units:
        if runs and follows(runs[-1][-1], unit):
            runs[-1].append(unit)
        else:
            runs.append([unit])
    for run in runs:
        head, *inside = run[0]
        if len(run) > 1:
            numbers = NUMBERED.fullmatch(run[-1][0].name)
            last = numbers[2] if numbers else ""
            head = replace(head, name=f"{head.name}-{last}", call=f"{head.call} each")
        yield head
        yield from merged([[row] for row in inside])


def follows(before: Unit, unit: Unit) -> bool:
    """Whether a layer is the next number of the same."""
    one, two = (NUMBERED.fullmatch(each[0].name) for each in (before, unit))
    if one is None or two is None or (one[1], int(one[2]) + 1) != (two[1], int(two[2])):
        return False
    return facts(before) == facts(unit)


def facts(unit: Unit) -> list[object]:
    """All that is shown of a unit but its own name."""
    return [replace(row, value=shapes(row.value), name=row.name if index else "") for index, row in enumerate(unit)]


def bytes_text(count: int) -> str:
    """`20.1 KiB`."""
    return scaled(count, 1024, BYTES)


def count_text(count: int) -> str:
    """`20.1 K`."""
    return scaled(count, 1000, COUNTS).rstrip()


def scaled(count: int, base: int, units: Sequence[str]) -> str:
    """A number of at most four digits and its unit, the first under which it is below `base`."""
    value = float(count)
    for unit in units[:-1]:
        if round(value, 1) < base:
            return f"{value:,.0f} {unit}" if unit == units[0] or value >= 100 else f"{value:.1f} {unit}"
        value /= base
    return f"{value:,.1f} {units[-1]}"


def outcome(row: Row) -> str:
    if row.unchecked:
        return "fails" if row.unchecked == BROKEN else "unchecked"
    return shapes(row.value)


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
