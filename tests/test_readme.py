"""The README is true: its commands, files and code work as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`((?:configs|extensions)/[\w/]+\.(?:yaml|py))`")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a reader has it, after typing in what the README shows and training what it trains."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("dodo.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("configs", "extensions"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in shown_files():
        (folder / path).write_text(text)
    train = run(folder, commands(0)[-1])
    assert train.returncode == 0, train.stderr
    (folder / "digits.out").write_text(train.stdout)
    return folder


def shown_files() -> list[tuple[str, str]]:
    """Each file that the README shows: the one named last before its block."""
    files = []
    for match in re.finditer(r"^```(yaml|python)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        above = README[: match.start()].rstrip().splitlines()[-1]
        named = FILE.findall(above)
        if named:
            files.append((named[-1], match.group(2)))
    return files


def commands(block: int) -> list[str]:
    return [text for kind, text in BLOCKS if kind == "bash"][block].strip().splitlines()


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    return subprocess.run(  # noqa: S602 - the README's own commands, as a shell runs them
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=180
    )


def test_the_first_command_trains_digits_to_what_is_promised(reader: Path) -> None:
    said = (reader / "digits.out").read_text().splitlines()[-3:]
    accuracy = re.search(r"accuracy (\d\.\d+)", said[1])

    assert accuracy is not None
    assert float(accuracy.group(1)) >= 0.975
    assert said[2].split()[-1] == "runs/digits/checkpoints/last.pt"
    assert (reader / said[2].split()[-1]).is_file()
    seconds = float(said[0].split()[-2])
    assert seconds < 60


def test_the_second_block_installs_and_runs_the_tests() -> None:
    assert commands(1) == ["pip install -e '.[test]' -c constraints.txt", "pytest"]


@pytest.mark.parametrize("index", range(sum(kind == "python" for kind, _ in BLOCKS)))
def test_its_python_runs(reader: Path, index: int) -> None:
    code = [text for kind, text in BLOCKS if kind == "python"][index]
    result = subprocess.run([sys.executable, "-c", code], cwd=reader, capture_output=True, text=True, timeout=120)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["wide", "skip", "huber"])
def test_the_experiments_that_it_shows_train(reader: Path, name: str) -> None:
    assert f"configs/experiments/{name}.yaml" in [path for path, _ in shown_files()]
    result = run(reader, f"doit train EXP={name}")

    assert result.returncode == 0, result.stderr
    assert f"weights: runs/{name}/checkpoints/last.pt" in result.stdout


def test_the_mistake_that_it_draws_is_drawn_so(reader: Path) -> None:
    wide = reader / "configs/experiments/wide.yaml"
    wide.write_text(wide.read_text().replace("trainer:", "trianer:"))
    result = run(reader, "doit validate EXP=wide")
    shown = next(text for kind, text in BLOCKS if "unknown section" in text)

    assert result.returncode == 1
    assert result.stderr.strip().splitlines() == [line.rstrip() for line in shown.strip().splitlines()]


def test_it_names_the_verbs_that_there_are(reader: Path) -> None:
    listed = run(reader, "doit list").stdout
    for verb in ("train", "validate", "resume"):
        assert f"`doit {verb}" in README
        assert re.search(rf"^{verb}\b", listed, re.MULTILINE)


def test_it_fits_into_200_lines() -> None:
    assert len(README.splitlines()) <= 200
