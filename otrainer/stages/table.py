"""The stages of an experiment: each a function from files to files. Those that need torch import it themselves."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.stages.outcome import Outcome
from otrainer.storage.atomic import canonical_json, read_json, write_changed, write_json
from otrainer.storage.records import FileStamp, Record, hash_env, relative_to_root, stamp_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otrainer.config import Reads, ResolvedConfig
    from otrainer.experiment import RunResult
    from otrainer.fingerprint import Fingerprints
    from otrainer.registry import Registry
    from otrainer.storage.experiments import Experiment

VERSIONS = {"resolve": 2, "manifest": 3, "validate": 2, "schema": 1}
OF_OTRAINER = ("manifest", "schema")


def current(stage: str, root: Path) -> dict[str, Any]:
    """What a stage's record is held against: its version, and a file of otrainer's where it recorded those."""
    source = relative_to_root(__file__, root) if stage in OF_OTRAINER else None
    return {"version": VERSIONS[stage], "source": source}


def run_stage(stage: str, experiment: Experiment, *, root: Path) -> Outcome:
    """Run a stage for an experiment.

    Raises ConfigError with everything that is wrong in the user's files, and whatever the user's code raises.
    """
    from otrainer.config.limits import room_beyond

    with room_beyond():
        return STAGES[stage](experiment, root)


def resolve(experiment: Experiment, root: Path) -> Outcome:
    """YAML and environment become resolved.json, sources.json and plugins.json."""
    from otrainer.config import resolve_config

    config = resolve_config(root / experiment.file, root=root)
    keep(experiment, root, "resolve", resolved_artifacts(config), reads_record(config.reads))
    return Outcome()


def resolved_artifacts(config: ResolvedConfig) -> dict[str, bytes]:
    """What resolving leaves, as it is written."""
    artifacts: dict[str, Any] = {
        "resolved.json": {"config": config.data, "used": sorted(config.used)},
        "sources.json": {"places": config.source_map.to_json(), "includes": config.source_map.includes},
        "plugins.json": {"imports": config.data.get("imports") or [], "settings": config.data.get("settings")},
    }
    return encoded("resolve", artifacts)


def encoded(stage: str, artifacts: dict[str, Any]) -> dict[str, bytes]:
    """Artifacts as they are written, each with the version of its stage."""
    return {name: canonical_json({"version": VERSIONS[stage], **content}) for name, content in artifacts.items()}


def reads_record(reads: Reads) -> Record:
    """What resolving read, as a record keeps it."""
    files: dict[str, FileStamp | None] = {
        read.path: FileStamp(read.sha256, read.size, read.mtime_ns) for read in reads.files
    }
    return Record({**files, **dict.fromkeys(reads.missing)}, hash_env(reads.env))


def keep(experiment: Experiment, root: Path, stage: str, artifacts: dict[str, bytes], record: Record) -> None:
    """Write a stage's artifacts as far as they changed, then the record of what it read and left."""
    outputs: dict[str, FileStamp] = {}
    for name, content in artifacts.items():
        path = root / experiment.built(name)
        write_changed(path, content, durable=False)  # what is lost in a power cut is made again
        status = path.stat()
        stamp = FileStamp(hashlib.sha256(content).hexdigest(), status.st_size, status.st_mtime_ns)
        outputs[relative_to_root(experiment.built(name), root)] = stamp
    whole = record._replace(outputs=outputs, version=VERSIONS[stage])
    whole.write(root / experiment.built(f"{stage}.record.json"))


def resolved(experiment: Experiment, root: Path) -> ResolvedConfig:
    """The config as the stage `resolve` left it."""
    from otrainer.config import Reads, ResolvedConfig, Settings, SourceMap

    kept = read_json(root / experiment.built("resolved.json"))
    sources = read_json(root / experiment.built("sources.json"))
    return ResolvedConfig(
        data=kept["config"],
        settings=Settings.of(kept["config"].get("settings")),
        source_map=SourceMap.from_json(sources["places"], sources["includes"]),
        reads=Reads(),
        used=frozenset(kept["used"]),
    )


def manifest(experiment: Experiment, root: Path) -> Outcome:
    """Plugins are run, and everything that the registry then holds becomes manifest.json; keys.json is for editors."""
    config = resolved(experiment, root)
    plugins = json.dumps([str(root), config.data.get("imports"), config.data.get("settings")])
    if plugins not in MANIFESTS:
        MANIFESTS[plugins] = made_manifest(config, root)
    keep(experiment, root, "manifest", *MANIFESTS[plugins])
    return Outcome()


# Made once a process for all experiments with the same plugins; the record says of which state of the sources it is.
MANIFESTS: dict[str, tuple[dict[str, bytes], Record]] = {}


LOOKS: dict[Path, Fingerprints] = {}


def look(root: Path) -> Fingerprints:
    """This process's one look at the sources: a later edit makes the manifest's record stale."""
    from otrainer.stages.definition import fingerprints

    if root not in LOOKS:
        LOOKS[root] = fingerprints(root)
    return LOOKS[root]


def read_sources(experiment: Experiment, root: Path) -> None:
    """Parse the sources that `manifest` will ask for, which finds the result under `build`: for a process that waits.

    What is wrong with them, `manifest` says.
    """
    with suppress(OSError, ValueError):
        look(root).modules([*PACKAGE, *(read_json(root / experiment.built("plugins.json"))["imports"])])


def made_manifest(config: ResolvedConfig, root: Path) -> tuple[dict[str, bytes], Record]:
    from otrainer.registry import build_registry
    from otrainer.registry.describe.interface import interface_of
    from otrainer.registry.manifest import manifest_of
    from otrainer.registry.plugins.import_reads import read_by
    from otrainer.stages.checks import all_mistakes, load_registry

    registry, prints = build_registry(), look(root)
    names = [*PACKAGE, *own_modules(registry), *(config.data.get("imports") or ())]
    before = stamp_files(prints.modules(names).values(), root)
    try:
        load_registry(config, registry)
    except ConfigError as error:
        raise ConfigError.of(all_mistakes(config)) from error
    files = stamp_files(prints.modules(names).values(), root)
    read = read_by(prints.modules(names))
    artifacts = {
        "manifest.json": manifest_of(registry, prints),
        "keys.json": interface_of(registry, built_in=False),
    }
    return encoded("manifest", artifacts), Record({**files, **before, **read})


PACKAGE = ("otrainer.experiment", "otrainer.stages.table")


def own_modules(registry: Registry) -> list[str]:
    """The modules in which built-in components are defined, which nothing else imports before they are used."""
    entries = [registry.get_module(key).factory for key in registry.list_modules()]
    entries += [registry.op_entry(name).fn for name in registry.list_ops()]
    targets = dict.fromkeys(target.partition(":")[0] for target in entries if isinstance(target, str))
    return [name for name in targets if name.startswith("otrainer.")]


def validate(experiment: Experiment, root: Path) -> Outcome:
    """Everything that can be found wrong without training is found, and the definition of the run is fixed."""
    from otrainer.registry import build_registry
    from otrainer.registry.plugins.import_reads import read_by
    from otrainer.registry.plugins.packages import metadata_files
    from otrainer.stages.definition import is_own
    from otrainer.stages.plan import make_plan
    from otrainer.storage.data_files import identify
    from otrainer.storage.watch_reads import Witness

    config, witness = resolved(experiment, root), Witness(root)
    plan = make_plan(
        config, build_registry(), look(root), experiment=experiment.file.as_posix(), root=root, witness=witness
    )
    named = plan.resume_from
    foreign = [named] if named is not None and not is_own(named, plan.run_dir, root) else []
    packages = [str(file) for file in metadata_files(config.data)]
    read = [*plan.data_files, *foreign, *packages]
    files = {relative_to_root(name, root): identify(name, root) for name in read}
    read_on_import = read_by(look(root).modules(config.data.get("imports") or ()))
    missed = {name: None for name, stamp in read_on_import.items() if stamp is None}
    record = Record({**files, **witness.files, **missed}, listings=witness.listings)
    keep(experiment, root, "validate", encoded("validate", {"validated.json": plan.to_json()}), record)
    return Outcome()


def schema(_all: Experiment, root: Path) -> Outcome:
    """What all experiments' plugins register becomes one JSON Schema, for editors."""
    from otrainer.commands.schema.stage import write_schema

    return write_schema(root)


def examine(experiment: Experiment, root: Path) -> Outcome:
    """All mistakes of an experiment that cannot be resolved, those behind the first ones included."""
    from otrainer.experiment import resolve_fully

    resolve_fully(root / experiment.file, root)
    return Outcome()


def fit(experiment: Experiment, root: Path) -> Outcome:
    """Train what was validated, unless its run is finished already."""
    from otrainer.stages.fit.start import first_start

    return trained(experiment, root, first_start)


def resume(experiment: Experiment, root: Path) -> Outcome:
    """Go on from the run's last checkpoint, under the config as it is now."""
    from otrainer.stages.fit.start import resumed_start

    return trained(experiment, root, resumed_start)


def trained(experiment: Experiment, root: Path, start: Callable[..., Any]) -> Outcome:
    from otrainer.engine.signals import TrainingInterrupted
    from otrainer.experiment import train
    from otrainer.stages.plan import Plan
    from otrainer.storage.project import project
    from otrainer.storage.runs.run_json import is_complete, read_run

    plan = Plan.from_json(read_json(root / experiment.built("validated.json")))
    if is_complete(root / plan.run_dir, plan.definition):
        leave_receipt(experiment, root, plan)
        return Outcome(report=f"{plan.name}: trained already, in {plan.run_dir}")
    places = resolved(experiment, root).source_map
    try:
        with project(root):
            result: RunResult = train(plan, root=root, start=start, places=places)
    except TrainingInterrupted as stop:
        run = read_run(root / plan.run_dir)
        saved = run is not None and run["definition"] == plan.definition and run["outputs"]
        again = f"`doit train EXP={experiment.name}` or `doit resume` continues"
        words = again if saved else "no checkpoint was saved, so there is nothing to continue from"
        return Outcome("interrupted", f"{plan.name}: {stop}; {words}", stop.exit_code)
    except ConfigError as error:
        raise error.located(places) from error.__cause__
    leave_receipt(experiment, root, plan)
    return Outcome(report=result.summary)


def leave_receipt(experiment: Experiment, root: Path, plan: Any) -> None:
    """fit.json says which run this build came to."""
    receipt = {"run_dir": plan.run_dir, "definition": plan.definition}
    write_json(root / experiment.built("fit.json"), receipt)


def show_model(experiment: Experiment, root: Path) -> Outcome:
    """What a training step of an experiment takes, as its files are now; nothing is written."""
    from otrainer.commands.show_model import drawn, estimate
    from otrainer.experiment import resolve_fully
    from otrainer.registry import build_registry
    from otrainer.storage.project import project

    config = resolve_fully(root / experiment.file, root)
    try:
        with project(root):
            made = estimate(config, build_registry())
    except ConfigError as error:
        raise error.located(config.source_map) from error.__cause__
    if not made.findings:
        return Outcome(report=drawn(made))
    located = ConfigError.of(made.findings).located(config.source_map)
    return Outcome.failed(located.findings)._replace(report=drawn(made))


def verify(experiment: Experiment, root: Path) -> Outcome:
    """Whether the experiment, stopped and continued, trains to the same bits."""
    from otrainer.commands.verify_resume import verify_resume

    outcome, places = verify_resume(experiment, root), resolved(experiment, root).source_map
    return outcome._replace(findings=tuple(finding.located(places) for finding in outcome.findings))


STAGES: dict[str, Callable[[Experiment, Path], Outcome]] = {
    "resolve": resolve,
    "manifest": manifest,
    "validate": validate,
    "schema": schema,
    "examine": examine,
    "fit": fit,
    "resume": resume,
    "verify-resume": verify,
    "show-model": show_model,
}
