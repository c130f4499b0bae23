"""Stages without torch or YAML: an experiment is lines of `key: value`, and training is appending to a log.

`log.txt` in the project counts executions, one line each: stage, experiment, pid. Keys that the stages obey:
`plugin` (read by manifest; its first line is its keys), `shared` (a manifest that was made before is its own too),
`data` (a file that validate reads), `out_dir`, `resume_from`,
`say: WORDS` (a report), `wrong: STAGE` (a mistake in the config), `crash: STAGE` (an exception),
`exit: STAGE` (sys.exit), `die: STAGE`, `orphan: STAGE` (leaves a forked child behind),
`wait: STAGE` (until a signal, or until a file `go` is there),
`stubborn` (a training that takes long to its next step boundary).
"""

from __future__ import annotations

import os
import signal
import sys
import time

from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError, Finding, SourceLocation
from otrainer.stages.begun import say_begun
from otrainer.stages.outcome import Outcome
from otrainer.storage.canonical_json import digest, read_json, write_json
from otrainer.storage.experiments import all_experiments
from otrainer.storage.records import Record, stamp_files
from otrainer.storage.runs import archive, run_json
from otrainer.storage.runs.lock import lock_run
from otrainer.storage.runs.ownership import measure

DEADLINE_S = 60
# Experiments whose manifest was made for this process.
MADE = []


def run_stage(stage, experiment, *, root):
    with (root / "log.txt").open("a") as log:
        log.write(f"{stage} {experiment.name} {os.getpid()}\n")
    (root / "path.txt").write_text("\n".join([sys.path[0], os.environ["PYTHONPATH"].split(os.pathsep)[0]]))
    obey(stage, experiment, root)
    return STAGES[stage](experiment, root) or Outcome(report=settings(experiment, root).get("say", ""))


def current(stage, root):
    return {"version": VERSIONS[stage]}


def read_sources(experiment, root):
    """There are none."""


def shared_manifest(experiment, _root):
    return experiment


def is_made(experiment, root):
    return "shared" in settings(experiment, root) and bool(MADE)


def note_made(experiment, _root):
    MADE.append(experiment)


def settings(experiment, root):
    if experiment.file.suffix != ".yaml":
        return {}  # a stage that is about all experiments
    lines = [line.split("#")[0] for line in (root / experiment.file).read_text().splitlines()]
    return dict(line.strip().split(": ", 1) for line in lines if line.strip())


def obey(stage, experiment, root):
    config = settings(experiment, root)
    if config.get("wrong") == stage:
        place = SourceLocation(experiment.file.as_posix(), 1, 1)
        raise ConfigError("`wrong` is not right.", title="wrong value", location=place)
    if config.get("crash") == stage:
        raise RuntimeError("the component's own mistake")
    if config.get("exit") == stage:
        sys.exit("enough")
    if config.get("orphan") == stage:
        child = os.fork()
        if child == 0:
            time.sleep(DEADLINE_S)
            os._exit(0)
        (root / "orphan").write_text(str(child))
    if config.get("die") == stage:
        os.kill(os.getpid(), signal.SIGKILL)
    if config.get("wait") == stage and stage not in {"fit", "resume"}:
        wait_for(root, lambda: None)


def wait_for(root, check):
    print("waiting", flush=True)
    deadline = time.monotonic() + DEADLINE_S
    while not (root / "go").exists():
        check()
        if time.monotonic() > deadline:
            raise TimeoutError("nobody came")
        time.sleep(0.01)


def say_once(stop):
    if stop.signum is not None:
        print("not yet", flush=True)
        time.sleep(DEADLINE_S)


def resolve(experiment, root):
    config = settings(experiment, root)
    config = {"out_dir": f"runs/{experiment.name}", **config}
    files = stamp_files([experiment.file], root)
    run = {key: config[key] for key in ("out_dir", "resume_from") if key in config}
    whole = {"config": {**config, "run": run}}
    write_json(root / experiment.built("resolved.json"), whole)
    write_json(root / experiment.built("sources.json"), (root / experiment.file).read_text().splitlines())
    write_json(root / experiment.built("plugins.json"), [config[key] for key in ("plugin",) if key in config])
    leave(experiment, root, "resolve", files, ("resolved.json", "sources.json", "plugins.json"))


def resolved_artifacts(_config):
    return {}


def resolved(_experiment, _root):
    raise LookupError("there is no config of otrainer's")


def config_of(_kept, _sources):
    raise LookupError("there is no config of otrainer's")


def manifest(experiment, root):
    plugins = read_json(root / experiment.built("plugins.json"))
    files = stamp_files([experiment.built("plugins.json"), *plugins], root)
    write_json(root / experiment.built("manifest.json"), {name: files[name].sha256 for name in plugins})
    write_json(root / experiment.built("keys.json"), [(root / name).read_text().split("\n")[0] for name in plugins])
    leave(experiment, root, "manifest", files, ("manifest.json", "keys.json"))


def schema(whole, root):
    names = [each.built("keys.json").as_posix() for each in all_experiments(root)]
    files = dict.fromkeys(names) | stamp_files([name for name in names if (root / name).exists()], root)
    write_json(root / "build/schema.json", {name: read_json(root / name) for name in names if files[name]})
    leave(whole, root, "schema", files, ("schema.json",))


def validate(experiment, root):
    config = read_json(root / experiment.built("resolved.json"))["config"]
    plugins = read_json(root / experiment.built("manifest.json"))
    files = stamp_files([config["data"]] if "data" in config else [], root)
    definition = digest([config, plugins, {name: stamp.sha256 for name, stamp in files.items()}])
    validated = {"run_dir": config["run"]["out_dir"], "definition": definition}
    write_json(root / experiment.built("validated.json"), validated)
    leave(experiment, root, "validate", files, ("validated.json",))


def leave(experiment, root, stage, files, artifacts):
    outputs = stamp_files([experiment.built(name) for name in artifacts], root)
    Record(files, {}, outputs).write(root / experiment.built(f"{stage}.record.json"))


def fit(experiment, root):
    validated = read_json(root / experiment.built("validated.json"))
    run_dir = root / validated["run_dir"]
    say_begun()
    with lock_run(run_dir), StopRequest() as stop:
        run = run_json.read_run(run_dir)
        if run and run["definition"] != validated["definition"]:
            archive.move_aside(run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        note(run_dir, validated, experiment, "running")
        try:
            config = settings(experiment, root)
            if config.get("wait") == "fit":
                wait_for(root, stop.raise_if_asked if "stubborn" not in config else lambda: say_once(stop))
        except TrainingInterrupted as interruption:
            note(run_dir, validated, experiment, "interrupted")
            return Outcome("interrupted", f"{interruption}: the run can be resumed", interruption.exit_code)
        (run_dir / "last.pt").write_text("weights")
        note(run_dir, validated, experiment, "complete", ["last.pt"])
    write_json(root / experiment.built("fit.json"), validated)
    return Outcome(report=f"trained {experiment.name}")


def note(run_dir, validated, experiment, state, outputs=()):
    data = dict.fromkeys(run_json.KEYS)
    data |= {
        "schema": 1,
        "name": run_dir.name,
        "experiment": experiment.file.as_posix(),
        "state": state,
        "definition": validated["definition"],
        "outputs": measure(run_dir, outputs),
        "code": [],
        **{key: {} for key in ("metrics", "lineage", "versions", "data", "config")},
        "started": run_json.utc_now(),
        "ended": run_json.utc_now(),
    }
    run_json.write_run(run_dir, data)


def examine(_experiment, _root):
    raise ConfigError.of(Finding(f"`{name}` is not right.", "wrong value") for name in ("wrong", "more"))


def show_model(experiment, _root):
    return Outcome(report=f"the model of {experiment.name}")


STAGES = {
    "resolve": resolve,
    "manifest": manifest,
    "validate": validate,
    "examine": examine,
    "schema": schema,
    "fit": fit,
    "fit-anew": fit,
    "resume": fit,
    "show-model": show_model,
}
VERSIONS = {"resolve": 1, "manifest": 1, "validate": 1, "schema": 1}
