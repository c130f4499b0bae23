"""The process in which stages that need torch run: it takes requests from doit, and ends with it.

Started as `python -m otrainer.tasks.worker.process REQUESTS ANSWERS`, two inherited pipes with a JSON object a line:
`{"stage": ..., "experiment": {...}}`, of some stages with what is `"asked"`, is answered by an outcome, before which a
training that has read its plan says `{"begun": true}`; with `"ahead": true` the answer also has what the stage printed,
and with `"then": true` it is left out, without an answer, where the stage before failed. `{"signal": 2}` asks it to
stop, and
`{"prepare": true}` lets it import what stages need before the first one is asked for. For each pair of pipes
behind these it forks a process, which says `{"ready": true}` and serves them in the same way.
"""

from __future__ import annotations

import atexit
import gc
import io
import itertools
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from otrainer.diagnostics.say import make_log_legible
from otrainer.stages.begun import on_begun
from otrainer.storage.experiments import Experiment
from otrainer.storage.gc_pause import collector_paused, keep_all
from otrainer.storage.lasting_streams import make_lasting
from otrainer.storage.module_search import finders_at_start
from otrainer.storage.processes import STOPPING, end_with_parent, is_single_threaded
from otrainer.tasks.interrupts import CUT_SHORT
from otrainer.tasks.worker.execute import execute
from otrainer.tasks.worker.gathered import Printed, Streams
from otrainer.tasks.worker.line import BEGUN, READY

# Ctrl-C reaches this process and doit at once: what doit passes on shall not come first, and then count twice.
GRACE_S = 0.1

# What trains nothing; a run may have left things to whatever Python does as it ends.
CHECKS = ("manifest", "validate", "examine", "schema", None)
BLAS_THREADS = "OPENBLAS_NUM_THREADS"
Requests = queue.Queue[dict[str, Any] | None]
Pipes = tuple[int, int]  # of requests, of answers


def main(*ends: int) -> None:
    """Serve until the pipe of requests ends."""
    end_with_parent()
    finders_at_start()  # before plugins add to them
    make_lasting()
    make_log_legible()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    own, *others = zip(ends[::2], ends[1::2], strict=True)
    trained = attend(*(shared(own, others) if others else own))
    if not trained:
        end_at_once()


def shared(own: Pipes, others: Sequence[Pipes]) -> Pipes:
    """Fork a process for each of `others`, once what stages need is imported; return the pipes that this one serves.

    Nothing of the user's has run by then. A process with threads is not forked: a lock that one holds would stay held.
    """
    with without_blas_threads():
        prepare()
    keep_all()
    sys.stdout.flush()
    for pipes in others:
        if is_single_threaded() and os.fork() == 0:
            end_with_parent()
            close(*(each for each in (own, *others) if each is not pipes))
            os.write(pipes[1], READY)
            return pipes
    close(*others)
    return own


@contextmanager
def without_blas_threads() -> Iterator[None]:
    """Let NumPy's OpenBLAS, if it is loaded inside, begin no threads, for the life of the process: nothing trains here.

    It begins them as it is loaded, one for each processor, and reads how many only then.
    """
    before = os.environ.get(BLAS_THREADS)
    os.environ[BLAS_THREADS] = "1"
    try:
        yield
    finally:
        os.environ.pop(BLAS_THREADS)
        if before is not None:
            os.environ[BLAS_THREADS] = before


def close(*pipes: Pipes) -> None:
    for each in itertools.chain(*pipes):
        os.closerange(each, each + 1)


def attend(requests: int, answers: int) -> bool:
    """Take requests and give answers until the pipe of requests ends; return whether any was a training."""
    # A process forked from this one, such as a data loader's, would keep doit waiting after this one's death.
    os.register_at_fork(after_in_child=lambda: close((requests, answers)))
    inbox: Requests = queue.Queue()
    streams = Streams()
    threading.Thread(target=listen, args=(requests, inbox), daemon=True).start()
    on_begun(lambda: os.write(answers, BEGUN))
    served, went_well, trained = 0, True, False
    while (request := inbox.get()) is not None:
        if request.get("then") and not went_well:
            inbox.task_done()
            continue
        answer, went_well = (prepare(), True) if "prepare" in request else serve(request, streams)
        inbox.task_done()
        trained |= request.get("stage") not in CHECKS
        served += 1
        if served == 1:
            keep_all()  # the first stage has imported what the others need
        with suppress(BrokenPipeError):  # doit has just ended, and the end of its pipe ends this process
            os.write(answers, answer)
    return trained


def end_at_once() -> None:
    """End without taking down all that is loaded, half a second of torch's: what was left open is written out.

    Where threads run that are to be waited for, Python ends as always.
    """
    if all(each.daemon or each is threading.main_thread() for each in threading.enumerate()):
        atexit._run_exitfuncs()
        gc.unfreeze()
        for each in gc.get_objects():
            if issubclass(type(each), io.IOBase):  # what pretends to be one may do anything when it is asked
                with suppress(Exception):  # as where Python does it
                    each.flush()
        os._exit(0)


def prepare() -> bytes:
    """Import what the stages will; what goes wrong with it, they will say."""
    with suppress(Exception), collector_paused():
        import otrainer.stages.fit.train  # noqa: F401 - torch comes with it
    return b""


def serve(request: dict[str, Any], streams: Streams) -> tuple[bytes, bool]:
    """Run the stage that `request` names; return the answer, which is one line, and whether the stage went well."""
    names = request["experiment"]
    experiment = Experiment(names["name"], Path(names["file"]), Path(names["build"]))
    printed: Printed = []
    try:
        with streams.gathered() if request.get("ahead") else nullcontext(printed) as printed:
            outcome = execute(request["stage"], experiment, Path.cwd(), request.get("asked"))
    except KeyboardInterrupt:
        # A second Ctrl-C: doit ends as well, and says so.
        os._exit(CUT_SHORT)
    sys.stdout.flush()
    sys.stderr.flush()
    answer = {"outcome": outcome.to_json(), "printed": printed}
    return json.dumps(answer).encode() + b"\n", outcome.status == "ok"


def listen(requests: int, inbox: Requests) -> None:
    """Take messages from the pipe: stages go to `inbox`, signals to this process, and its end ends everything."""
    with os.fdopen(requests, "rb", closefd=False) as stream:
        for line in stream:
            message = json.loads(line)
            if "signal" in message:
                pass_on(message["signal"])
            else:
                inbox.put(message)
    if inbox.unfinished_tasks:
        os.kill(os.getpid(), signal.SIGKILL)  # doit is gone, and nobody waits for the answer
    inbox.put(None)


def pass_on(signum: int) -> None:
    """Send `signum` to this process unless a training here was already asked to stop."""
    from otrainer.engine.signals import current_stop_request

    time.sleep(GRACE_S)
    if current_stop_request().signum is None:
        os.kill(os.getpid(), signum)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
