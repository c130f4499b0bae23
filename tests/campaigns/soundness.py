"""Whether a fingerprint sees every edit that changes what a component does: random packages, random edits, an oracle.

    python tests/campaigns/soundness.py [--edits N] [--real N] [--without PACKAGE] [--seed S] [--keep FOLDER]

Prints a table, and exits with 1 if an edit that changed behaviour went unseen.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from edits import edit
from oracle import behaviour, write
from packages import NAMED, make_package
from real import PACKAGES, copy_packages, mutate

from otrainer.fingerprint import Code, Fingerprints

EDITS_A_PACKAGE = 8


@dataclass
class Tally:
    """What a campaign saw; an edit counts once for every component of its package."""

    edits: int = 0
    behaviours: int = 0
    failing: int = 0
    unseen: list[str] = field(default_factory=list)
    same: int = 0
    equivalent: int = 0
    imported: int = 0
    needless: int = 0
    constructs: Counter = field(default_factory=Counter)
    behavioural: Counter = field(default_factory=Counter)
    needless_by: Counter = field(default_factory=Counter)


def campaign(edits: int, seed: int, keep: Path | None = None, prints=Fingerprints, enough: int = 1000) -> Tally:
    """Try so many edits, or until `enough` went unseen."""
    tally, rng = Tally(), random.Random(seed)
    number = 0
    while tally.edits < edits and len(tally.unseen) < enough:
        number += 1
        with tempfile.TemporaryDirectory() as folder:
            sys.path.insert(0, folder)
            try:
                one_package(rng, Path(folder), f"pkg{seed}_{number}", tally, keep, prints)
            finally:
                sys.path.remove(folder)
    return tally


def one_package(rng, folder: Path, name: str, tally: Tally, keep: Path | None, prints) -> None:
    package = make_package(rng, name)
    write(folder, name, package.texts())
    importlib.invalidate_caches()
    before = behaviour(folder, name, package.plugins)
    if before is None:
        return
    old = codes(name, package.plugins, before, prints)
    for _ in range(EDITS_A_PACKAGE):
        made = edit(rng, package)
        if made is None:
            continue
        changed, kind, construct = made
        write(folder, name, changed.texts())
        after = behaviour(folder, name, package.plugins)
        new = codes(name, package.plugins, before, prints) if after is not None else {}
        judge(tally, name, kind, construct, before, after, old, new)
        if keep is not None and tally.unseen and not (keep / name).exists() and tally.unseen[-1].startswith(name):
            for which, texts in (("before", package.texts()), ("after", changed.texts())):
                write(keep / name / which, name, texts)
            (keep / name / "README.md").write_text(tally.unseen[-1] + "\n")
        write(folder, name, package.texts())


def real_campaign(edits: int, seed: int, prints=Fingerprints, without: Collection[str] = ()) -> Tally:
    """Mutations of real packages; one restores the file before the next."""
    tally, rng = Tally(), random.Random(seed)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        sys.path.insert(0, text)
        try:
            files = copy_packages(folder, without)
            importlib.invalidate_caches()
            before = behaviour(folder, "drive", ("plugin",))
            old = codes("drive", ("plugin",), before, prints)
            while tally.edits < edits:
                path = rng.choice(files)
                original = path.read_text()
                changed = mutate(rng, original)
                if changed is None:
                    continue
                path.write_text(changed)
                after = behaviour(folder, "drive", ("plugin",))
                new = codes("drive", ("plugin",), before, prints) if after is not None else {}
                judge(tally, path.relative_to(folder).as_posix(), "mutation", path.parts[-2], before, after, old, new)
                path.write_text(original)
        finally:
            sys.path.remove(text)
    return tally


def codes(name, plugins, keys, prints) -> dict[str, tuple[Code, ...]]:
    """For each component the code part of its definition."""
    look = prints()
    whole = tuple(look.plugin(f"{name}.{plugin}") for plugin in plugins)
    found = {}
    for key in keys:
        plugin, part = f"{name}.{key[:-1]}", f"Part{key[-1]}"
        found[key] = (look.registered(plugin, key, f"{plugin}:{part}"), *whole)
    return found


def moved_symbols(old: tuple[Code, ...], new: tuple[Code, ...]) -> set[str]:
    """The symbols that differ between two definitions."""
    pairs = ((one.symbols, other.symbols) for one, other in zip(old, new, strict=True))
    return {name for one, other in pairs for name in {*one, *other} if one.get(name) != other.get(name)}


def by_names(codes: tuple[Code, ...]) -> set[str]:
    """The symbols that components reach from name to name, without what modules do when they are imported."""
    found: set[str] = set()
    for code in codes:
        waiting = [root for root in code.roots if not root.endswith("<import>")]
        while waiting:
            name = waiting.pop()
            found.add(name)
            waiting += [
                each for each in code.uses.get(name, ()) if each not in found and not each.endswith(":<import>")
            ]
    return found


def judge(tally, name, kind, construct, before, after, old, new) -> None:
    tally.edits += 1
    tally.constructs[construct] += 1
    if after is None:
        tally.failing += 1
        return
    acted = False
    for key, value in before.items():
        differs = after.get(key) != value
        moved = moved_symbols(old[key], new[key])
        seen = [code.digest for code in old[key]] != [code.digest for code in new[key]]
        acted |= differs
        if differs and not seen:
            tally.unseen.append(f"{name} {key}: {kind} of {construct}: {value} -> {after.get(key)}")
        if not differs:
            tally.same += 1
            named = {name for name in moved if "<" not in name}
            by_name = bool(named & by_names((*old[key], *new[key])))
            tally.equivalent += seen and by_name
            tally.imported += seen and bool(named) and not by_name
            tally.needless += seen and not named
            tally.needless_by[kind, construct] += seen and not named
    if acted:
        tally.behaviours += 1
        tally.behavioural[construct] += 1


def report(tally: Tally) -> str:
    shares = [count / max(tally.same, 1) for count in (tally.equivalent, tally.imported, tally.needless)]
    lines = [
        f"{tally.edits} edits, {tally.behaviours} change what some component does, {tally.failing} fail to import",
        f"unseen: {len(tally.unseen)}",
        f"of {tally.same} components that do the same, retrained are",
        f"  {tally.equivalent} ({shares[0]:.1%}) for code that they reach by name, and that came to the same",
        f"  {tally.imported} ({shares[1]:.1%}) for code that acts when modules are imported on their way",
        f"  {tally.needless} ({shares[2]:.1%}) for neither: the order of such acts, or what a plugin does as a whole",
        "edits by construct (and those that change behaviour):",
        *(
            f"  {name:<20} {tally.constructs[name]:>5} {tally.behavioural[name]:>5}"
            for name in sorted(tally.constructs)
        ),
        "most needless:",
        *(f"  {count:>4}  {kind} of {construct}" for (kind, construct), count in tally.needless_by.most_common(12)),
        *(f"UNSEEN {text}" for text in tally.unseen[:20]),
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", type=int, default=0)
    parser.add_argument("--without", nargs="*", default=(), choices=PACKAGES)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    tally = campaign(given.edits, given.seed, given.keep)
    print(report(tally))
    few = [name for name in NAMED if tally.constructs[name] < 20 * given.edits / 1000]
    if few:
        print(f"too few edits of: {', '.join(few)}")
    real = real_campaign(given.real, given.seed, without=given.without) if given.real else Tally()
    if given.real:
        print(f"\nreal packages\n{report(real)}")
    return 1 if tally.unseen or real.unseen else 0


if __name__ == "__main__":
    sys.exit(main())
