"""The names in a graph that carry values, as they come to exist one call after another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from otrainer.config.kinds import kind_of
from otrainer.model.ir import Ref
from otrainer.model.section import check_name, listed

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.model.repeat import Turn
    from otrainer.model.section import Report

REFERENCE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


class Values:
    """Inputs and results so far; `later` are names that some call will produce, and `renamed` nodes under `out`s.

    Steps that repeat give a name a new value in each turn: `now` it means that of the last, by its own name.
    """

    def __init__(self, inputs: Iterable[str], report: Report) -> None:
        self.report = report
        self.known: dict[str, str | None] = dict.fromkeys(inputs)  # with the node that each comes from, if it does
        self.now: dict[str, str] = {name: name for name in self.known}
        self.turn: Turn | None = None
        self.made: list[str] = []  # in this turn
        self.turns_of: Counter[str] = Counter()
        self.later: list[str] = []
        self.renamed: dict[str, tuple[str, ...]] = {}

    def expect(self, names: Iterable[object], node: str) -> None:
        """Announce what a later call produces."""
        outs = tuple(name for name in names if isinstance(name, str))
        self.later.extend(outs)
        if node not in outs:
            self.renamed[node] = outs

    def begin(self, turn: Turn | None, report: Report) -> None:
        """Go on to a call of this turn, of which mistakes are told to `report`."""
        self.report = report
        if turn is not self.turn:
            self.turn, self.made = turn, []

    def produce(self, name: object, place: ConfigPath, *, on_key: bool, by: str) -> None:
        """Make a result known from here on."""
        wrong = list(check_name(name, "value", place, on_key=on_key))
        self.report.extend(wrong)
        if wrong or not isinstance(name, str):
            return
        if name in (self.known if self.turn is None else self.made):
            node = self.known[name]
            message = f"The name `{name}` is taken: it is {f'produced by `{node}`' if node else 'an input'}."
            hint = "Every name is produced once; give this one another `out`."
            self.report.add(message, place, title="duplicate name", key=on_key, hint=hint)
        self.known[name] = self.known.get(name, by) if self.turn is None else by
        self.now[name] = name if self.turn is None else f"{name}.{self.turns_of[name]}"
        self.turns_of[name] += 1
        self.made.append(name)

    def reference(self, text: str, place: ConfigPath) -> Ref | None:
        """Return the value that `$name` means, or None after a finding."""
        match = REFERENCE.fullmatch(text)
        if match is None:
            hint = f"Write `${text}` for the text itself."
            self.report.add(f"`{text}` is no reference.", place, title="malformed reference", hint=hint)
            return None
        return Ref(self.now[match[1]]) if self.is_known(match[1], place) else None

    def output(self, item: object, place: ConfigPath) -> str | None:
        """Return the value that an entry of `outputs` names, with or without `$`, or None after a finding."""
        if not isinstance(item, str):
            message, hint = f"An output is the name of a value, not {kind_of(item)}.", "Write a name such as `$y`."
            self.report.add(message, place, title="wrong type", hint=hint)
            return None
        name = item.removeprefix("$")
        return name if self.is_known(name, place) else None

    def is_known(self, name: str, place: ConfigPath) -> bool:
        if name in self.known:
            return True
        if name in self.later:
            message = f"`{name}` is produced only later."
            self.report.add(message, place, title="forward reference", hint="References look back; move the call up.")
        elif self.renamed.get(name):
            outs = self.renamed[name]
            message = f"The node `{name}` gives its result under another name."
            self.report.add(message, place, title="unknown value", near=outs, hint="Refer to what its `out` names.")
        else:
            near = self.report.near(name, self.known)
            hint = "" if near else f"There are {listed(self.known)}." if self.known else "Name `inputs` first."
            self.report.add(f"There is no value `{name}`.", place, title="unknown value", near=near, hint=hint)
        return False
