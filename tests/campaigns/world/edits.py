"""One edit of a world at random: one that a feature of it offers, or one that shall cost nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random
from typing import NamedTuple

from campaigns.world.place import Edit, Feature, World

SHARE_OF_IDLE, SHARE_OF_RETURNS = 0.2, 0.07


def files_of(world: World) -> list[Path]:
    """The user's files, those of the environment's folders included."""
    own = ("build", "runs", "__pycache__")
    found = (path for path in world.folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path for path in found if not any(part in own for part in path.relative_to(world.folder).parts))


def touch(world: World, rng: Random) -> None:
    os.utime(rng.choice(files_of(world)))


def touch_all(world: World, _rng: Random) -> None:
    for path in files_of(world):
        os.utime(path)


def copy_in_place(world: World, rng: Random) -> None:
    """As after `cp -a` of a folder and `mv` of the copy: other inodes, and the same times."""
    folder = world.folder / rng.choice(["project/extensions", "project/configs", "site", *world.pythonpath])
    beside = folder.with_name("copy-of-it")
    shutil.copytree(folder, beside, symlinks=True)
    shutil.rmtree(folder)
    beside.rename(folder)


def comment(world: World, rng: Random) -> bool:
    sources = [path for path in files_of(world) if path.suffix == ".py" and path.parent.name == "extensions"]
    path = rng.choice(sources)
    path.write_text(path.read_text() + "\n# A comment.\n")
    return True


def unrelated(name: str) -> Edit:
    def change(world: World, _rng: Random) -> bool:
        if world.path(name).exists():
            return False
        world.write(name, "X = 1\n")
        return True

    return Edit(f"an unrelated file ({name})", change)


def unrelated_variable(world: World, rng: Random) -> None:
    world.variables["UNRELATED"] = str(rng.random())


IDLE = (
    Edit("a touched file", touch),
    Edit("all files touched", touch_all),
    Edit("a folder copied and moved back", copy_in_place),
    Edit("a comment", comment),
    Edit("an unrelated variable", unrelated_variable),
    *map(unrelated, ("@/notes.txt", "@/unrelated.py", "@/extensions/unrelated.py", "@/data/unrelated.txt",
                     "@/configs/experiments/unrelated.yaml", "@/.hidden")),
)  # fmt: skip


class Made(NamedTuple):
    """An edit that was made: its kind with that of its feature, and the file of the code that this is about, if any."""

    kind: str
    file: str = ""


def drawn_edit(
    world: World, original: World, features: list[Feature], rng: Random, without: tuple[str, ...] = ()
) -> Made:
    """Make an edit of a kind with none of the words `without`, or go back to the `original`."""
    while True:
        if rng.random() < SHARE_OF_RETURNS:
            world.restore(original)
            return Made("all as it was at first")
        if rng.random() < SHARE_OF_IDLE:
            edit, made = rng.choice(IDLE), Made("")
        else:
            n, feature = rng.choice(list(enumerate(features)))
            edit, made = rng.choice(feature.edits), Made(f" of {feature.kind}", f"extensions/f{n}.py")
        made = made._replace(kind=f"{edit.kind}{made.kind}")
        if not any(words in made.kind for words in without) and edit.change(world, rng) is not False:
            return made
