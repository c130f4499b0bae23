"""The READMEs are true: their commands, files, code, reports and configs work as they stand.

Each page is followed from top to bottom in a project of its own, as `readme_pages` and the page on tests say.
"""

from __future__ import annotations

import doctest
import os
import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import warm
import yaml
from projects import shipped
from readme_pages import ROOT, Block, anchors, blocks, links, page_text
from trained import inside, train

from otrainer.config import resolve_config

README = "README.md"
FOLLOWED = ("configs/README.md", "extensions/README.md", "extensions/TUTORIAL.md", "runs/README.md", "tests/README.md")
PAGES = (README, *FOLLOWED, "build/README.md", "SECURITY.md", "CONTRIBUTING.md")
ELSEWHERE = (
    "pip ", "python3 -m venv ", "source ", "pytest", "doit -f ", "python tests/", "PYTHONPATH=",
)  # fmt: skip
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(  # noqa: S602 - the pages' own commands, as a shell runs them
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=180
    )


def typed(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Do what a page has its reader type; doit is as a moment after its start."""
    plain = command.startswith("doit ") and not set("|&;<>$`") & set(command)
    return warm.doit(folder, *shlex.split(command)[1:]) if plain else run(folder, command)


def ran(block: Block, folder: Path) -> None:
    """Run a block of Python here, where torch is loaded already, as a script in the project would run."""
    with inside(folder):
        exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})  # noqa: S102 - the page's own code


@dataclass
class Reader:
    """Somebody who follows a page; what only has to be validated waits until the end, for one call."""

    folder: Path
    written: list[str] = field(default_factory=list)
    fragments: list[Block] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    reports: list[Block] = field(default_factory=list)

    def follow(self, page: str) -> None:
        shown = blocks(page)
        for index, block in enumerate(shown):
            assert self.act_on(block, shown[index - 1], shown[index + 1 : index + 2]), f"{block.place}: nobody tests it"
        self.validate()

    def act_on(self, block: Block, before: Block, after: list[Block]) -> bool:
        """Do what a block says; False for one of which there is nothing to do."""
        if block.file is not None:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
            self.written += [path.stem] if path.parent.name == "experiments" else []
            return True
        if block.is_report:
            self.reports.append(block)
            return True
        steps = {
            "yaml": lambda: self.fragments.append(block),
            "yaml gives": lambda: self.compare(before, block),
            "yaml wrong": lambda: self.write_wrong(block, after),
            "python": lambda: ran(block, self.folder),
            "bash": lambda: self.bash(block),
            "console": lambda: self.console(block),
            "mermaid": lambda: None,
        }
        if block.kind not in steps:
            return False
        steps[block.kind]()
        return True

    def bash(self, block: Block) -> None:
        for command in block.text.strip().splitlines():
            if not command.startswith(ELSEWHERE):
                done = typed(self.folder, command)
                assert done.returncode == 0, f"{block.place}: {command}\n{done.stdout}{done.stderr}"

    def console(self, block: Block) -> None:
        """Commands behind `$` with what they print, in which `...` stands for anything."""
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, wanted = part.partition("\n")
            done = typed(self.folder, command)
            said = done.stdout + done.stderr
            assert doctest.OutputChecker().check_output(wanted, said, SAME), f"{block.place}: {command}\n{said}"

    def compare(self, block: Block, wanted: Block) -> None:
        """The sections that the second block shows are what the first one, over the baseline, resolves to."""
        data = resolve_config(self.over_the_baseline(block)).data
        for section, value in yaml.safe_load(wanted.text).items():
            assert data[section] == value, wanted.place

    def over_the_baseline(self, block: Block) -> Path:
        """The experiment that a block is, with the baseline below it unless it says itself what is."""
        path = self.folder / "configs/experiments" / f"{block.name}.yaml"
        own = re.search(r"^defaults:", block.text, re.MULTILINE)
        path.write_text(block.text if own else f"defaults: [baseline.yaml]\n{block.text}")
        return path

    def write_wrong(self, block: Block, after: list[Block]) -> None:
        """A file with a mistake; the report below it says what it is called."""
        assert after and after[0].is_report, f"{block.place}: no report follows"
        name = re.findall(r"while (?:\w+|loading the plugins of) (\w+)$", after[0].text, re.MULTILINE)[0]
        (self.folder / f"configs/experiments/{name}.yaml").write_text(block.text)
        self.wrong.append(name)

    def validate(self) -> None:
        """All configs that are shown: no mistake in them is told but those whose reports are shown as well."""
        names = [*self.written, *(self.over_the_baseline(block).stem for block in self.fragments)]
        if not self.wrong:
            for name in names:
                train(self.folder, name, stages="resolve manifest validate")
            return
        drawn = typed(self.folder, f"doit validate EXP={','.join([*names, *self.wrong])}").stderr
        for name in (*names, *self.wrong):
            assert (f" {name}\n" in f"{drawn}\n") == (name in self.wrong), f"{name}:\n{drawn}"
        for report in self.reports:
            assert stripped(report.text) in stripped(drawn), f"{report.place}\n{drawn}"


def stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


@pytest.mark.parametrize("page", FOLLOWED)
def test_whoever_follows_a_page_finds_what_it_says(page: str, tmp_path: Path) -> None:
    Reader(shipped(tmp_path)).follow(page)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_leads_to_what_is_there(page: str) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if "://" not in link:
            assert target.exists(), f"{page}: {link}"
            name = target.resolve().relative_to(ROOT).as_posix()
            assert not anchor or anchor in anchors(name), f"{page}: {link}"


# The first page.


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project after typing in what the first page shows and training what it trains."""
    folder = shipped(tmp_path_factory.mktemp("reader"))
    for block in blocks(README):
        if block.file is not None:
            (folder / block.file).write_text(block.text)
    before = processor_seconds()
    train = run(folder, commands(0)[-1])
    assert train.returncode == 0, train.stderr
    (folder / "digits.out").write_text(train.stdout)
    (folder / "digits.seconds").write_text(str(processor_seconds() - before))
    yield folder


def processor_seconds() -> float:
    """What the processes that this one started have computed: other tests beside them do not lengthen it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def commands(number: int) -> list[str]:
    return [block.text for block in blocks(README) if block.kind == "bash"][number].strip().splitlines()


def test_the_first_command_trains_digits_to_what_is_promised(reader: Path) -> None:
    said = (reader / "digits.out").read_text().splitlines()[-3:]
    accuracy = re.search(r"accuracy (\d\.\d+)", said[1])

    assert accuracy is not None
    assert float(accuracy.group(1)) >= 0.975
    assert said[2].split()[-1] == "runs/digits/checkpoints/last.pt"
    assert (reader / said[2].split()[-1]).is_file()
    assert float((reader / "digits.seconds").read_text()) < 60


def test_the_second_block_installs_and_runs_the_tests() -> None:
    assert commands(1) == ["pip install -e '.[test]' -c constraints.txt", "pytest"]


@pytest.mark.parametrize("index", range(sum(block.kind == "python" for block in blocks(README))))
def test_its_python_runs(reader: Path, index: int) -> None:
    ran([block for block in blocks(README) if block.kind == "python"][index], reader)


@pytest.mark.parametrize("name", ["wide", "huber"])
def test_the_experiments_that_it_shows_train(reader: Path, name: str) -> None:
    assert f"configs/experiments/{name}.yaml" in [block.file for block in blocks(README)]
    result = typed(reader, f"doit train EXP={name}")

    assert result.returncode == 0, result.stderr
    assert f"weights: runs/{name}/checkpoints/last.pt" in result.stdout


def test_the_mistake_that_it_draws_is_drawn_so(reader: Path) -> None:
    wide = reader / "configs/experiments/wide.yaml"
    wide.write_text(wide.read_text().replace("trainer:", "trianer:"))
    result = typed(reader, "doit validate EXP=wide")
    shown = next(block.text for block in blocks(README) if block.is_report)

    assert result.returncode == 1
    assert stripped(result.stderr) == stripped(shown)


def test_it_names_the_verbs_that_there_are(reader: Path) -> None:
    listed = typed(reader, "doit list").stdout
    for verb in ("train", "validate", "resume"):
        assert f"`doit {verb}" in page_text(README)
        assert re.search(rf"^{verb}\b", listed, re.MULTILINE)


def test_it_fits_into_150_lines() -> None:
    assert len(page_text(README).splitlines()) <= 150
