"""Load a file and the files under its `defaults` to one tree."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from otrainer.config.findings import Findings
from otrainer.config.limits import DEFAULTS
from otrainer.config.merge import Merger
from otrainer.config.nodes import (
    MERGE,
    Mapping,
    Node,
    Scalar,
    Sequence,
    is_null,
    key_place_of,
    kind_of,
    mapping_of,
    place_of,
    without,
)
from otrainer.config.parse import parse_tree
from otrainer.config.reads import MAX_PATH, unreadable
from otrainer.config.text import shortened
from otrainer.errors import ConfigError, Finding
from otrainer.storage import process_memory
from otrainer.storage.project import display_path

if TYPE_CHECKING:
    from otrainer.config.budget import Budget
    from otrainer.config.limits import Limits
    from otrainer.config.reads import Recorder


@dataclass(slots=True)
class ConfigFile:
    """A parsed file without its `defaults`, and the files that those name."""

    name: str
    path: Path
    tree: Mapping
    entries: list[tuple[Scalar, int, Path]] = field(default_factory=list)


def load_tree(path: str | os.PathLike[str], recorder: Recorder, findings: Findings, budget: Budget) -> Mapping:
    """Load `path` and lay it over the trees of its `defaults`; faulty containers are added to `findings`.

    A container acts on all that lies below it, also where an including file lists that before its own.
    Raises ConfigError with everything that keeps a file from being read.
    """
    files = Files(recorder, budget)
    order = files.collect(recorder.named(Path.cwd(), os.fspath(path)))
    if files.findings:
        raise ConfigError.of(files.findings.all())
    merger = Merger(findings, budget)
    trees: dict[str, Mapping] = {}
    for file in order:
        tree: Mapping | None = None
        for _, _, target in file.entries:
            below = trees[files.identity(target)]
            tree = below if tree is None else merger.lay_mapping(tree, below, (), keep=True)
        if tree is not None or file.tree.special & MERGE:
            tree = merger.lay_mapping(tree, file.tree, (), keep=True)
        trees[files.identity(file.path)] = tree or file.tree
    return merger.over_nothing(trees[files.identity(order[-1].path)])


class Trees:
    """The trees parsed last: nodes are never changed once made, so that experiments can share those of one base."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.kept: dict[tuple[bytes, str, Limits], Mapping] = {}
        self.size = 0

    def of(self, content: bytes, name: str, limits: Limits) -> Mapping:
        """Return the tree of a file. No more than `most` nodes are kept, for they fill the memory."""
        key = (content, name, limits)
        tree = self.kept.pop(key, None)
        if tree is None:
            tree = parse_tree(content, name, limits=limits)
            self.size += tree.size
        self.kept[key] = tree  # behind all others: those used longest ago go first
        while self.size > self.most:
            self.size -= self.kept.pop(next(iter(self.kept))).size
        return tree


class Files:
    """Reads each file once, however many ways lead to it, and collects what is wrong with them."""

    def __init__(self, recorder: Recorder, budget: Budget) -> None:
        self.recorder = recorder
        self.budget = budget
        self.findings = Findings(budget.limits.mistakes)
        self.known: dict[str, ConfigFile | None] = {}
        self.identities: dict[Path, str] = {}

    def identity(self, path: Path) -> str:
        """Return the one path that all names of a file, in a folder without links, have in common."""
        found = self.identities.get(path)
        if found is None:
            # Unlike those of a Path, these two take any path for what it is.
            found = os.path.realpath(path) if os.path.islink(path) else str(path)  # noqa: PTH114
            self.identities[path] = found
        return found

    def collect(self, start: Path) -> list[ConfigFile]:
        """`start` and all files below it, each after the files that it lists."""
        order: list[ConfigFile] = []
        first = self.open(start, None, 0)
        if first is None:
            return order
        chain = {self.identity(start): first}
        stack = [(first, iter(first.entries))]
        while stack:
            file, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                del chain[self.identity(file.path)]
                order.append(file)
                continue
            at, index, target = entry
            key = self.identity(target)
            if key in chain:
                self.cycle(at, index, list(chain.values()), chain[key])
            elif self.known.get(key) is None and (below := self.open(target, at, index)):
                chain[key] = below
                stack.append((below, iter(below.entries)))
        return order

    def open(self, path: Path, at: Scalar | None, index: int) -> ConfigFile | None:
        """Read and parse a file; a failure becomes a finding, at the entry that names the file."""
        key = self.identity(path)
        name = display_path(path, self.recorder.root)
        if key in self.known and name in self.recorder.files:
            return None  # what is wrong inside is said already
        self.known[key] = None
        try:
            content = self.recorder.read(path, self.budget.bytes)
        except OSError as error:
            self.findings.append(unreadable(path, name, at, index, error, self.budget.limits.file_size))
            return None
        self.recorder.include(name, at)
        self.budget.bytes -= len(content)
        try:
            tree = process_memory.get("trees", partial(Trees, DEFAULTS.nodes)).of(content, name, self.budget.limits)
            self.budget.read(tree)
            entries = self.listed(tree, path.parent)
        except ConfigError as error:
            self.findings.extend(error.findings)
            return None
        body = self.without_container(without(tree, "defaults"))
        file = self.known[key] = ConfigFile(name, path, body, entries)
        return file

    def without_container(self, tree: Mapping) -> Mapping:
        """Refuse a file that is itself a container."""
        keys = [key for key in ("_merge_", "_value_") if key in tree.items]
        if not keys:
            return tree
        message = f"`{keys[0]}` stands at the top of the file, but a container takes the place of a value."
        place, hint = key_place_of(tree.items[keys[0]]), "Move it to the key whose value it changes."
        self.findings.append(
            Finding(message, "container at the top", (keys[0],), location=place, on_key=True, hint=hint)
        )
        return mapping_of({}, tree.file, tree.at)

    def listed(self, tree: Mapping, folder: Path) -> list[tuple[Scalar, int, Path]]:
        """Return the entries of a file's `defaults`, each with the path that it means."""
        defaults = tree.items.get("defaults")
        if defaults is None or is_null(defaults):
            return []
        if not isinstance(defaults, Sequence):
            self.findings.append(no_list(defaults))
            return []
        entries: list[tuple[Scalar, int, Path]] = []
        for index, item in enumerate(defaults.items):
            if is_path(item):
                self.budget.include(item, ("defaults", index))
                entries.append((item, index, self.recorder.named(folder, str(item.value))))
            else:
                self.findings.append(no_path(item, index))
        return entries

    def cycle(self, at: Scalar, index: int, chain: list[ConfigFile], closing: ConfigFile) -> None:
        members = [file.name for file in [*chain[chain.index(closing) :], closing]]
        shown = " -> ".join(members if len(members) <= 10 else [*members[:5], "...", *members[-4:]])
        message = f"`{shortened(str(at.value))}` leads back to a file that lists it: {shown}."
        hint = "Take one of these entries out of `defaults`."
        self.findings.append(Finding(message, "include cycle", ("defaults", index), location=place_of(at), hint=hint))


def no_list(defaults: Node) -> Finding:
    entry = defaults.value if isinstance(defaults, Scalar) else "base.yaml"
    message = f"`defaults` is {kind_of(defaults)}; it is a list of the files that lie below this one."
    hint = f"Write `defaults: [{entry}]`."
    return Finding(message, "defaults is no list", ("defaults",), location=place_of(defaults), hint=hint)


def is_path(item: Node) -> TypeGuard[Scalar]:
    """Return whether an entry of `defaults` may be the path of a file."""
    value = item.value if isinstance(item, Scalar) else None
    return isinstance(value, str) and 0 < len(value) <= MAX_PATH and "\0" not in value


def no_path(item: Node, index: int) -> Finding:
    what = kind_of(item)
    if isinstance(item, Scalar) and isinstance(item.value, str):
        what = "a name with a null character" if "\0" in item.value else "an empty string"
        what = what if len(item.value) <= MAX_PATH else f"a name of {len(item.value):,} characters"
    message = f"An entry of `defaults` is the path of a file, not {what}."
    hint = "Write the path relative to this file."
    return Finding(message, "entry is no path", ("defaults", index), location=place_of(item), hint=hint)
