"""cb.profiler: what a few steps of training spend their time on, as a trace."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.profiler import ProfilerActivity, profile, schedule

from otrainer.errors import check_whole
from otrainer.storage.inside_project import refuse_outside
from otrainer.storage.project import project_root

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

log = logging.getLogger("otrainer")


class Profiler:
    """Trace `active` optimizer steps with torch's profiler, in the trace format of Chrome, which Perfetto shows too.

    The first `wait` steps of an attempt are left alone, and the next `warmup` ones traced and thrown away. The trace
    goes to `path`, by default to `trace.json` in the run's folder. With fewer steps an attempt says that there is none.
    """

    def __init__(self, wait: int = 5, warmup: int = 2, active: int = 3, path: str | None = None) -> None:
        check_whole("wait", wait, least=0)
        check_whole("warmup", warmup, least=0)
        check_whole("active", active)
        self.wait, self.warmup, self.active, self.path = wait, warmup, active, path
        self._profile: Any = None

    def on_fit_start(self, ctx: RunContext) -> None:
        """Begin, with the step that comes next."""
        path = Path(self.path or f"{ctx.run.out_dir}/trace.json")
        refuse_outside(path, project_root(), ("callbacks",))
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if ctx.device.type == "cuda" else [])]
        steps = schedule(wait=self.wait, warmup=self.warmup, active=self.active, repeat=1)

        def write(done: Any) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            done.export_chrome_trace(str(path))
            log.info("cb.profiler: a trace of %d steps is in %s", self.active, path)

        self._profile = profile(activities=activities, schedule=steps, on_trace_ready=write)
        self._profile.start()

    def on_train_step_end(self, ctx: RunContext) -> None:
        """Count a step; the trace is written after the last that counts, and nothing is done from then on."""
        if self._profile is None:
            return
        self._profile.step()
        if self._profile.step_num >= self.wait + self.warmup + self.active:
            self._end()

    def on_exception(self, ctx: RunContext, exc: BaseException) -> None:
        """Leave the profiler."""
        self._end()

    def on_fit_end(self, ctx: RunContext) -> None:
        """Leave the profiler."""
        self._end()

    def _end(self) -> None:
        if self._profile is None:
            return
        ended, self._profile = self._profile, None
        wanted = self.wait + self.warmup + self.active
        if ended.step_num < wanted:
            ended.on_trace_ready = None
            log.warning("cb.profiler: no trace, which takes %d steps: this attempt had %d", wanted, ended.step_num)
        ended.stop()

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: each attempt is traced by itself."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begin anew."""
