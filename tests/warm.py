"""doit and its worker as a moment after their start, for tests that call them often and ask about other things.

Starting Python with torch takes seconds. Here a process that has done so, and knows no project, forks one like new
for each call, as `campaigns/world/start.py` has it. What a real start does is tested where `projects.doit` is called.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

CAMPAIGNS = Path(__file__).parent / "campaigns"
SERVING = "import sys; from world import start; start.answer_calls(int(sys.argv[1]))"
OWN_ENVIRONMENT = ("PATH", "HOME")  # all else comes with each call
DEADLINE_S = 120


def doit(project: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Call doit as `projects.doit` does, unless the environment says something to a Python that starts."""
    assert not any(name.startswith("PYTHON") for name in environ), "only a real start obeys these"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environ}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        call = json.dumps([str(project), arguments, environment]).encode()
        socket.send_fds(started(), [call], [out.fileno(), err.fileno()])
        try:
            status = int(started().recv(16))
        except TimeoutError:
            started.cache_clear()
            raise
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(["doit", *arguments], status, out.read(), err.read())


@cache
def started() -> socket.socket:
    """Start the process that forks, once; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVING, str(theirs.fileno())],
            cwd=CAMPAIGNS,
            env={name: os.environ[name] for name in OWN_ENVIRONMENT if name in os.environ},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait(DEADLINE_S)

    atexit.register(end)
    ours.settimeout(DEADLINE_S)
    return ours
