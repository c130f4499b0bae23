"""What may become of a config, however odd: plain data or a ConfigError with a place, soon, and in little memory.

`python bounded.py TABLE` judges each case of the module TABLE, in a process that may take no more than it should; a
line of JSON tells what became of each.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

import yaml

from otrainer.config import resolve_config
from otrainer.config.errors import format_error_with_context
from otrainer.config.validate import validate_preflight
from otrainer.errors import ConfigError
from otrainer.stages.resolve import resolved_artifacts
from otrainer.storage import process_memory

SECONDS = 2.0
MEGABYTES = 500
GOES = 3
PURE = ", by the parser in Python"
# What is wrong with the file that the user named cannot be pointed at inside it.
PLACELESS = {"missing file", "not a file", "unreadable file", "file changes", "file too large"}


@dataclass(frozen=True)
class Verdict:
    """What became of a config: the first finding's title (or `resolved`), with CPU seconds and megabytes of memory."""

    name: str
    title: str
    seconds: float
    megabytes: float


def judge(path: Path | str, env: Mapping[str, str], *, pure: bool = False) -> str:
    """`resolved`, or the title of the first finding. Fails on findings without a place and on all other exceptions."""
    return outcome(path, env, pure=pure)[0]


def outcome(path: Path | str, env: Mapping[str, str], *, pure: bool = False) -> tuple[str, dict[str, bytes]]:
    """The same with the artifacts, of which there are none where the config does not resolve."""
    with parser(pure=pure):
        process_memory.forget("trees")
        try:
            config = resolve_config(path, env=env)
            artifacts = resolved_artifacts(config)
        except ConfigError as error:
            return told(error), {}
        for content in artifacts.values():
            json.loads(content)
        try:
            validate_preflight(config)
        except ConfigError as error:
            told(error)
    return "resolved", artifacts


def told(error: ConfigError) -> str:
    """The first title, once everything is drawn."""
    assert str(error) and format_error_with_context(error)
    for finding in error.findings:
        assert finding.location is not None or finding.title in PLACELESS, f"no place: {finding}"
        assert finding.message and finding.title, finding
    return error.findings[0].title


@contextmanager
def parser(*, pure: bool) -> Iterator[None]:
    """libyaml's parser, or PyYAML's own."""
    before = yaml.__with_libyaml__
    yaml.__with_libyaml__ = before and not pure
    try:
        yield
    finally:
        yaml.__with_libyaml__ = before


def peak() -> int:
    """The most memory that this process held since `forget_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # proc_pid_clear_refs(5)


def size() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")


def measured(name: str, call: Callable[[], str]) -> Verdict:
    """What `call` comes to, with what it takes."""
    forget_peak()
    before, start = peak(), time.process_time()
    try:
        title = call()
    except BaseException as error:  # noqa: BLE001 - whatever else comes of a config is a verdict on it
        title = f"{type(error).__name__}: {str(error)[:200]}"
    return Verdict(name, title, time.process_time() - start, (peak() - before) / 2**20)


def bounded(name: str, call: Callable[[], str]) -> Verdict:
    """The same, of several goes where one takes too long: what else runs on the machine can only lengthen each."""
    verdict = measured(name, call)
    for _ in range(GOES - 1):
        if verdict.seconds < SECONDS:
            break
        verdict = min(verdict, measured(name, call), key=lambda each: each.seconds)
    return verdict


def main(table: str) -> None:
    """Judge the table's cases; those of `SLOW_PARSER` by PyYAML's own parser as well."""
    module = loaded(table)
    most = size() + MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with tempfile.TemporaryDirectory() as folder:
        for name, make in module.CASES.items():
            for pure in (False, True)[: 1 + (name in module.SLOW_PARSER)]:
                here = Path(folder, f"{name} {pure}")
                here.mkdir()
                os.chdir(here)
                env = make(here) or {}
                label = f"{name}{PURE if pure else ''}"
                print(json.dumps({"begins": label}), flush=True)
                verdict = bounded(label, lambda env=env, pure=pure: judge("exp.yaml", env, pure=pure))
                print(json.dumps(asdict(verdict)), flush=True)


def loaded(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("table", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(sys.argv[1])
