"""Processes as `python -m doit` starts them, forked from this one, which has imported torch and no project of anybody's.

Starting Python with torch takes seconds; so this takes the place of the two starts there are, doit's and its worker's,
and of nothing else: each child has the working directory, the environment and the search path that it would have.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import site
import socket
import subprocess
import sys
import tempfile
import traceback
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

os.environ["OMP_NUM_THREADS"] = "1"  # a process with threads cannot be forked

BASE = tuple(path for path in sys.path if path and not Path(path).is_relative_to(Path(__file__).parents[1]))
# What the world's own environment says, and what would keep Python from leaving compiled files, as it does for people.
OTHERS = ("PYTHONPATH", "EXP", "PYTHONDONTWRITEBYTECODE")
ENVIRON = {name: value for name, value in os.environ.items() if name not in OTHERS}
sys.dont_write_bytecode = False
LONGEST_CALL = 1 << 20


class Ended(NamedTuple):
    """How a process ended and what it printed."""

    status: int
    said: str


def import_all() -> None:
    """Import what any process of these may need, once."""
    import doit.doit_cmd  # type: ignore[import-untyped]
    import torch

    import otrainer

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(otrainer.__path__, "otrainer."):
        if module.name != "otrainer.tasks.worker.process" and not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError:
                continue  # what it needs is not installed
    importlib.import_module("otrainer.tasks.worker.process")
    doit.doit_cmd.DoitMain()
    read_own_sources()
    gc.freeze()  # else each child's collector would write to all of it, and so copy it


def read_own_sources() -> None:
    """Remember what is parsed of otrainer's own sources, which each process would read from files beside them."""
    from otrainer.fingerprint import Fingerprints

    with tempfile.TemporaryDirectory() as folder:
        prints = Fingerprints(cache=Path(folder))
        for module in prints.sources.locator.all_modules("otrainer"):
            prints.sources.summary(module)


def doit(root: Path, *arguments: str, environ: Mapping[str, str], site_folder: Path | None = None) -> Ended:
    """Run doit in a project as a process of its own, and the worker that it starts."""
    with tempfile.TemporaryFile() as out:
        status = doit_into((out.fileno(), out.fileno()), root, arguments, environ, site_folder)
        out.seek(0)
        return Ended(status, out.read().decode("utf-8", "replace"))


def doit_into(
    streams: tuple[int, int],
    root: Path,
    arguments: tuple[str, ...],
    environ: Mapping[str, str],
    site_folder: Path | None = None,
) -> int:
    """Run it with these as what it prints to, and return its exit status."""
    ours, theirs = socket.socketpair()
    child = fork(lambda: run_doit(root, arguments, environ, site_folder, streams, theirs))
    theirs.close()
    workers = serve(ours, environ, site_folder, root)
    status = ended(child)
    for each in workers:
        ended(each)
    return status


def answer_calls(caller: int) -> None:
    """Answer each call of doit that comes over a socket, with the two files that it prints to, by its exit status."""
    import_all()
    with socket.socket(fileno=caller) as calls:
        while True:
            message, streams, _, _ = socket.recv_fds(calls, LONGEST_CALL, 2)
            if not message:
                return
            root, arguments, environ = json.loads(message)
            status = doit_into((streams[0], streams[1]), Path(root), tuple(arguments), environ)
            for each in streams:
                os.close(each)
            calls.send(str(status).encode())


def ended(child: int) -> int:
    """Wait for a child, and return how it ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def real_doit(
    root: Path,
    *arguments: str,
    environ: Mapping[str, str],
    site_folder: Path | None = None,
    under: tuple[str, ...] = (),
) -> Ended:
    """Do the same by starting Python, as people do; a `sitecustomize` stands for a virtual environment's `.pth` files."""
    with tempfile.TemporaryDirectory() as first:
        Path(first, "sitecustomize.py").write_text(f"import site\nsite.addsitedir({str(site_folder)!r})\n")
        path = os.pathsep.join([first, environ["PYTHONPATH"]] if "PYTHONPATH" in environ else [first])
        done = subprocess.run(
            [*under, sys.executable, "-m", "doit", *arguments],
            cwd=root,
            env={**ENVIRON, **environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return Ended(done.returncode, done.stdout)


def serve(asked: socket.socket, environ: Mapping[str, str], site_folder: Path | None, root: Path) -> list[int]:
    """Fork a worker each time that doit asks for one, until it ends."""
    workers = []
    with asked:
        while True:
            message, fds, _, _ = socket.recv_fds(asked, 1, 5)
            if not message:
                return workers
            workers.append(fork(lambda fds=fds: run_worker(root, environ, site_folder, *fds)))
            for each in fds:
                os.close(each)


def fork(work: Callable[[], int]) -> int:
    """Let a child do `work`, whose result is its exit status."""
    child = os.fork()
    if child:
        return child
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]  # a temporary folder here is its parent's
    status = 70
    try:
        status = work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        leave(status)


def leave(status: int) -> NoReturn:
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def begin(
    root: Path, environ: Mapping[str, str], site_folder: Path | None, streams: tuple[int, int], first: str
) -> None:
    """Be as a Python that has just started in `root`."""
    os.dup2(streams[0], 1)
    os.dup2(streams[1], 2)
    os.chdir(root)
    os.environ.clear()
    os.environ.update({**ENVIRON, **environ})
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    given = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = dict.fromkeys([first, *given, *BASE])
    sys.path_importer_cache.clear()
    if site_folder is not None:
        site.addsitedir(str(site_folder))


def run_doit(
    root: Path,
    arguments: tuple[str, ...],
    environ: Mapping[str, str],
    site_folder: Path | None,
    streams: tuple[int, int],
    asked: Any,
) -> int:
    from doit.doit_cmd import DoitMain

    from otrainer.tasks.worker import handle

    begin(root, environ, site_folder, streams, str(root))
    assert handle.subprocess is subprocess, "workers are started elsewhere, and would be started anew"
    handle.subprocess = SimplePopen(asked)  # type: ignore[assignment]
    sys.argv = ["doit", *arguments]
    return int(DoitMain().run(list(arguments)) or 0)


class SimplePopen:
    """What stands for `subprocess` where doit starts its worker."""

    TimeoutExpired = TimeoutError

    def __init__(self, asked: socket.socket) -> None:
        self.asked = asked

    def Popen(self, command: list[str], **_options: Any) -> Any:  # noqa: N802
        requests, answers = map(int, command[-2:])
        done, held = os.pipe()
        socket.send_fds(self.asked, [b"w"], [requests, answers, 1, 2, held])
        os.close(held)
        return Forked(done)


class Forked:
    """A worker, known by a pipe that ends with it."""

    def __init__(self, done: int) -> None:
        self.done = done

    def poll(self) -> int | None:
        return 0 if select.select([self.done], [], [], 0)[0] else None

    def wait(self, _timeout: float | None = None) -> int:
        os.read(self.done, 1)
        return 0

    def kill(self) -> None:
        """It ends with doit's pipe."""


def run_worker(
    root: Path,
    environ: Mapping[str, str],
    site_folder: Path | None,
    requests: int,
    answers: int,
    out: int,
    err: int,
    _done: int,
) -> int:
    from otrainer.tasks.worker.process import main

    path = os.pathsep.join(filter(None, [str(root), environ.get("PYTHONPATH", "")]))
    begin(root, {**environ, "PYTHONPATH": path}, site_folder, (out, err), str(root))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    main(requests, answers)
    return 0
