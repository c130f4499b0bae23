"""Whether the same source has the same fingerprint under other versions of Python, which node runs.

    python tests/campaigns/pythons.py [--packages N] [--seed S] [--wide] [--pythons FOLDER]

Compares this Python with each of PYTHONS over a corpus: committed modules of odd and of newer syntax, random packages,
real ones, otrainer's own, and with `--wide` every file of the standard library. FOLDER is where the other Pythons are
kept, put there by npm where they are missing; without it they go into a temporary one. Exits with 1 if anything
differs, and with 2 if node or npm is missing or cannot bring them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "fingerprint"))

from golden import CORPUS, NEWER, read_golden
from oracle import write
from packages import make_package
from real import PACKAGES, copy_packages

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
# A version of Python, and that of the npm package `pyodide` which is it.
PYTHONS = {"3.12": "0.27.7", "3.13": "0.29.4", "3.14": "314.0.7"}

# Each name of this one reaches all others: its files are compared, and what `drive` reaches of it.
TANGLED = "mpmath"


class MissingError(Exception):
    """Something that the campaign cannot do without."""


def install(python: str, folder: Path) -> Path:
    """The folder of a pyodide, brought by npm where it is not there."""
    found = folder / python / "node_modules" / "pyodide"
    if not found.is_dir():
        (folder / python).mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", python, f"pyodide@{PYTHONS[python]}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode or not found.is_dir():
            raise MissingError(f"npm could not install pyodide {PYTHONS[python]}:\n{done.stderr}")
    return found


def make_corpus(folder: Path, packages: int, seed: int, *, wide: bool) -> dict[str, list[str]]:
    """Fill a folder, and name its packages and single files."""
    shutil.copytree(CORPUS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    names, files, rng = ["odd", "newer", "otrainer"], [], random.Random(seed)
    for number in range(packages):
        names.append(f"pkg{seed}_{number}")
        write(folder, names[-1], make_package(rng, names[-1]).texts())
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        print(f"without the real packages, of which {', '.join(missing)} are not installed")
    else:
        copy_packages(folder)
        names += ["drive", *(f"lib_{name}" for name in PACKAGES if name != TANGLED)]
        files += files_of(folder, f"lib_{TANGLED}")
    if wide:
        ignored = shutil.ignore_patterns("__pycache__", "site-packages", "*.so", "*.a")
        shutil.copytree(sysconfig.get_path("stdlib"), folder / "stdlib", ignore=ignored)
        files += files_of(folder, "stdlib")
    return {"packages": names, "files": files}


def files_of(folder: Path, name: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in (folder / name).rglob("*.py"))


def census(work: Path, corpus: dict[str, list[str]], name: str, pyodide: Path | None) -> dict:
    """What a Python says; this one where there is no pyodide."""
    request, answer, script = work / f"{name}-request.json", work / f"{name}.json", str(HERE / "census.py")
    places = {"repository": str(REPOSITORY), "corpus": str(work / "corpus"), "answer": str(answer)}
    request.write_text(json.dumps(corpus | places))
    node = ["node", str(HERE / "pyodide.mjs"), str(pyodide), f"{REPOSITORY},{work}"]
    command = [*(node if pyodide else [sys.executable]), script, str(request)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not answer.exists():
        raise MissingError(f"the census under Python {name} ended with {done.returncode}:\n{done.stderr[-9000:]}")
    return json.loads(answer.read_text())


def differences(found: list[dict]) -> list[str]:
    """Where Pythons say other things of a module than the first that could parse it, or could not, as they."""
    said = []
    for each in found:
        version = tuple(map(int, each["python"].split(".")[:2]))
        said += [f"Python {each['python']}: {fault}" for fault in each["faults"]]
        said += [
            f"Python {each['python']}: {name} is not on record so" for name in unlike(each["golden"], read_golden())
        ]
        for module, read in each["read"].items():
            since = NEWER.get(module.removeprefix("newer."), (3, 11)) if module.startswith("newer.") else None
            if since is not None and read != (version >= since):
                said.append(f"Python {each['python']} {'parses' if read else 'cannot parse'} {module}")
            first = next(one for one in found if one["read"].get(module) == read)
            said += [f"{text} under {first['python']} and {each['python']}" for text in moved(module, first, each)]
        said += [f"{each['python']} has no {name}" for name in found[0]["read"].keys() - each["read"].keys()]
    return said


def unlike(one: dict[str, dict], other: dict[str, dict]) -> list[str]:
    return [
        f"{module}:{name}"
        for module in {**one, **other}
        for name in {**one.get(module, {}), **other.get(module, {})}
        if one.get(module, {}).get(name) != other.get(module, {}).get(name)
    ]


def moved(module: str, first: dict, other: dict) -> list[str]:
    pairs = [first["statements"][module], other["statements"][module]]
    lines = [str(one[0]) for one, two in zip(*pairs, strict=False) if one != two]
    counts = [f"{module} has {len(pairs[0])} and {len(pairs[1])} statements"] if len(pairs[0]) != len(pairs[1]) else []
    codes = [{module: each["codes"].get(module, {})} for each in (first, other)]
    differing = [f"{module}, line {', '.join(lines)}, differs"] if lines else []
    return [*counts, *differing, *(f"{name} differs" for name in unlike(*codes))]


def report(found: list[dict], said: list[str]) -> str:
    lines = []
    for each in found:
        fingerprints = sum(map(len, each["codes"].values()))
        unread = [name for name, read in each["read"].items() if not read]
        shown = f": {', '.join(unread)}" if 0 < len(unread) < 6 else ""
        lines.append(
            f"Python {each['python']}: {fingerprints} fingerprints in {len(each['codes'])} modules, "
            f"{sum(map(len, each['statements'].values()))} statements in {len(each['read'])} files, "
            f"{len(unread)} of which count by their bytes{shown}"
        )
    return "\n".join([*lines, f"differences: {len(said)}", *said[:60]])


def campaign(given: argparse.Namespace) -> int:
    absent = [name for name in ("node", "npm") if shutil.which(name) is None]
    if absent:
        raise MissingError(f"{' and '.join(absent)} not found: other Pythons run in node, and npm brings them")
    with tempfile.TemporaryDirectory() as text:
        work = Path(text).resolve()
        pyodides = {name: install(name, (given.pythons or work / "pythons").resolve()) for name in PYTHONS}
        corpus = make_corpus(work / "corpus", given.packages, given.seed, wide=given.wide)
        found = [census(work, corpus, "here", None)]
        found += [census(work, corpus, name, folder) for name, folder in pyodides.items()]
    said = differences(found)
    print(report(found, said))
    return 1 if said else 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--packages", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--pythons", type=Path)
    try:
        return campaign(parser.parse_args())
    except MissingError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
