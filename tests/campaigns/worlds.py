"""Whether every edit of a world is seen that changes what a fresh copy of it would train: random worlds, random edits.

A world is a project with plugins that find code, read, look and list in many ways, configs, data, links, folders on the
path and an environment. After each edit `doit why` and `doit train` are run in it, and what its run was trained to is held
against what a copy, of which nothing was ever built, trains to. `python tests/campaigns/worlds.py [--edits N] [--seed S]
[--only FEATURE] [--without WORDS ...] [--world NAME] [--keep FOLDER] [--real]` exits with 1 where an edit went unseen,
`why` and `train` did not agree, or a second `train` had something to do; what was trained in vain is a cost, and is
counted. Processes are forked from one that has imported torch; with `--real` they are started.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from campaigns.world import start
from campaigns.world.edits import Made, drawn_edit
from campaigns.world.make import ALL, drawn, lay_out
from campaigns.world.oracle import held, number_of
from campaigns.world.place import World

EDITS_A_WORLD = 12
VERDICT = re.compile(r"^  fit +(.+)$", re.MULTILINE)
RAN = re.compile(r"^\.  (\w+):a$", re.MULTILINE)
NOT_TRAINED = ("Nothing would be trained", "comes back")


@dataclass
class Tally:
    """What a campaign saw, by kinds; each kind of `wrong` breaks a promise."""

    edits: int = 0
    worlds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)
    wrong_by: Counter[str] = field(default_factory=Counter)
    needless: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Seen:
    """What came of one edit: what a fresh copy trains, or how it fails, and what was said and done."""

    fresh: int | str
    why: str
    train: start.Ended
    again: start.Ended
    before: int | None
    held: int | None
    made: Made

    @property
    def foretold(self) -> str:
        found = VERDICT.search(self.why)
        word = found[1].strip() if found else "no verdict"
        return "brought back" if any(each in self.why for each in NOT_TRAINED) else word

    @property
    def trained(self) -> bool:
        return "\n  weights: " in self.train.said

    @property
    def told(self) -> bool:
        """Whether it was left as it is, with a note that the code which the edit is about is not followed in this."""
        lines = [line for line in self.why.splitlines() if "not followed" in line]
        return bool(self.made.file) and not self.trained and any(self.made.file in line for line in lines)

    def wrong(self) -> list[str]:
        """Return each promise that it broke, as a kind and what happened."""
        if isinstance(self.fresh, str):
            return [f"unseen: a copy fails ({self.fresh}), and it ended well"] if self.train.status == 0 else []
        if self.train.status:
            return [f"failed: a copy trains, and it ended with {self.train.status}"]
        found = []
        if self.held != self.fresh and not self.told:
            told = "it was trained" if self.trained else "it was called up to date"
            found.append(f"unseen: a copy trains to {self.fresh}, {told} to {self.held}")
        if (self.foretold == "would run") != self.trained and self.foretold != "cannot be told":
            found.append(f"disagree: why said `{self.foretold}`, and it was {'' if self.trained else 'not '}trained")
        if RAN.search(self.again.said) or self.again.status:
            found.append("unsettled: a second `train` had something to do")
        return found


@dataclass(frozen=True)
class Way:
    """What starts doit, one kind of feature alone, where cases are kept, and words of edits that are left out."""

    doit: Callable[..., start.Ended] = start.doit
    only: str | None = None
    keep: Path | None = None
    without: tuple[str, ...] = ()

    def run(self, world: World, verb: str) -> start.Ended:
        return self.doit(world.root, verb, "EXP=a", environ=world.environ, site_folder=world.site)


def campaign(edits: int, seed: int, way: Way) -> Tally:
    """Try so many edits, in worlds of some edits each."""
    tally, number = Tally(), 0
    with tempfile.TemporaryDirectory() as folder:
        while tally.edits < edits:
            one_world(Path(folder), f"{seed}.{number}", tally, way)
            number += 1
            print(f"{tally.edits} edits of {number} worlds, {sum(tally.needless.values())} trained in vain", flush=True)
    return tally


def one_world(folder: Path, name: str, tally: Tally, way: Way) -> None:
    """Make a world and edit it until something is wrong, or it cannot be trained: it shows no more then."""
    rng, world, template = Random(name), World(folder / name), folder / "template"
    features = drawn(rng, way.only)
    lay_out(world, features, template if template.exists() else None)
    first = way.run(world, "train")
    if not template.exists():
        shutil.copytree(world.root / "build/.code", template)
    before, of = held(world), f"in world {name}: {', '.join(feature.kind for feature in features)}"
    if first.status or before != number_of(remade(folder / "fresh", world)):
        raise RuntimeError(f"the campaign itself is wrong: a copy trains to something else {of}\n{first.said}")
    tally.worlds += 1
    original = remade(folder / "original", world)
    log: list[str] = []
    for _ in range(EDITS_A_WORLD):
        earlier = remade(folder / "earlier", world) if way.keep else world
        made = drawn_edit(world, original, features, rng, way.without)
        log.append(made.kind)
        fresh = remade(folder / "fresh", world)
        seen = tried(world, fresh, before, way, made)
        note(tally, of, log, seen)
        if way.keep and seen.wrong():
            keep_case(way.keep / name, earlier, fresh, tally.wrong[-1], seen)
        if isinstance(seen.fresh, str) or seen.train.status or seen.wrong() or seen.held != seen.fresh:
            break
        before = seen.held
    shutil.rmtree(world.folder)


def remade(folder: Path, world: World) -> World:
    shutil.rmtree(folder, ignore_errors=True)
    return world.copied(folder)


def tried(world: World, fresh: World, before: int | None, way: Way, made: Made) -> Seen:
    number, why, train = number_of(fresh), way.run(world, "why").said, way.run(world, "train")
    again = way.run(world, "train") if train.status == 0 else train
    return Seen(number, why, train, again, before, held(world), made)


def note(tally: Tally, of: str, log: list[str], seen: Seen) -> None:
    kind = log[-1]
    tally.edits += 1
    tally.tried[kind] += 1
    changes = seen.fresh != seen.before
    tally.counts["fail in a copy"] += isinstance(seen.fresh, str)
    tally.counts["change what is trained"] += changes and not isinstance(seen.fresh, str)
    tally.counts["change nothing"] += not changes
    tally.counts["are told as not followed"] += seen.held != seen.fresh and seen.told
    tally.counts["could not be foretold"] += seen.foretold == "cannot be told"
    tally.needless[kind] += seen.trained and not changes
    for text in seen.wrong():
        tally.wrong_by[f"{text.partition(':')[0]} after {kind}"] += 1
        tally.wrong.append(f"{text}\n  after {kind}\n  {of}\n  edits: {'; '.join(log)}")
        print(f"WRONG {tally.wrong[-1]}", flush=True)


def keep_case(folder: Path, earlier: World, after: World, text: str, seen: Seen) -> None:
    """Keep the world before and after the edit, and what was said."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(earlier.folder, folder / "before", symlinks=True)
    shutil.copytree(after.folder, folder / "after", symlinks=True)
    environ = f"before: {earlier.environ}\nafter: {after.environ}"
    said = (
        f"{text}\n{environ}\n\n$ doit why\n{seen.why}\n$ doit train\n{seen.train.said}\n$ doit train\n{seen.again.said}"
    )
    (folder / "said.txt").write_text(said)


def report(tally: Tally) -> str:
    kinds = Counter(text.partition(":")[0] for text in tally.wrong)
    return "\n".join(
        [
            f"{tally.edits} edits of {tally.worlds} worlds",
            *(f"  {count} {name}" for name, count in sorted(tally.counts.items())),
            f"unseen: {kinds['unseen']}, disagreements of why and train: {kinds['disagree']}, unsettled: {kinds['unsettled']}",
            f"trained in vain: {sum(tally.needless.values())}",
            *(f"  {count} of {tally.tried[kind]} by {kind}" for kind, count in tally.needless.most_common() if count),
            "edits by kind:",
            *(f"  {count:>4} {kind}" for kind, count in sorted(tally.tried.items())),
            *(f"wrong {count} times: {kind}" for kind, count in tally.wrong_by.most_common()),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[each.__name__ for each in ALL])
    parser.add_argument("--world")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--without", nargs="*", default=())
    parser.add_argument("--real", action="store_true")
    given = parser.parse_args()
    start.import_all()
    way = Way(start.real_doit if given.real else start.doit, given.only, given.keep, tuple(given.without))
    tally = one(given.world, way) if given.world else campaign(given.edits, given.seed, way)
    print(report(tally))
    return 1 if tally.wrong else 0


def one(name: str, way: Way) -> Tally:
    """Try the edits of one world again."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        one_world(Path(folder), name, tally, way)
    return tally


if __name__ == "__main__":
    sys.exit(main())
