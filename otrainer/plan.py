"""The plan of a run: a validated experiment as plain data, and the definition that tells it from every other one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from otrainer.artifacts import digest
from otrainer.config import ResolvedConfig, Settings
from otrainer.engine.state import RunSettings
from otrainer.errors import ConfigError, ConfigPath, Finding
from otrainer.records import FileStamp, relative_to_root
from otrainer.registry import Registry, instantiate_value
from otrainer.registry.usage import code_behind
from otrainer.validation import find_mistakes, try_out

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 1


@dataclass(frozen=True)
class Plan:
    """What a run is made of. `definition` is one sha256 over all that decides what is trained."""

    name: str
    experiment: str | None
    run_dir: str
    definition: str
    code: list[dict[str, Any]]
    model: dict[str, Any]
    data_files: dict[str, dict[str, Any]]
    config: dict[str, Any]

    @property
    def run(self) -> RunSettings:
        return RunSettings.of({**self.config["run"], "config": self.config})

    def to_json(self) -> dict[str, Any]:
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        return cls(**{key: value for key, value in data.items() if key != "version"})

    @property
    def allowed(self) -> Settings:
        """The settings under which the run's plugins and specs were allowed."""
        return Settings.of(self.config.get("settings"))


def make_plan(config: ResolvedConfig, registry: Registry, *, experiment: str | None, root: Path) -> Plan:
    """Validate an experiment and say what it trains; plugins are loaded into `registry`.

    Raises ConfigError with everything that is wrong.
    """
    try:
        model = try_out(config, registry, find_mistakes(config, registry))
        data_files = stamp_data(config, registry, root)
    except ConfigError as error:
        raise error.located(config.source_map) from error.__cause__
    run, code = config.data["run"], code_behind(config.data, registry)
    return Plan(
        name=run["name"],
        experiment=experiment,
        run_dir=run["out_dir"],
        definition=define(config.data, code, data_files, root),
        code=code,
        model=model_summary(model),
        data_files=data_files,
        config=config.data,
    )


def define(config: Mapping[str, Any], code: list[dict[str, Any]], data_files: Mapping[str, Any], root: Path) -> str:
    """The sha256 of a definition; the order of sections does not count, what stands in them does in its order."""
    run = dict(config["run"])
    if run.get("resume_from") is not None and not is_own(run["resume_from"], run["out_dir"], root):
        run["resume_from"] = FileStamp.of(root / run["resume_from"]).sha256
    sections = {name: value for name, value in sorted({**config, "run": run}.items()) if name != "settings"}
    return digest([sections, code, sorted(data_files.items())])


def is_own(checkpoint: str, run_dir: str, root: Path) -> bool:
    """Whether a checkpoint lies in the run's own directory: training writes there, so its content defines nothing."""
    return (root / checkpoint).resolve().is_relative_to((root / run_dir).resolve())


def stamp_data(config: ResolvedConfig, registry: Registry, root: Path) -> dict[str, dict[str, Any]]:
    """Hash and size of each file that a component declares by `files()`; raises ConfigError for missing ones."""
    stamps: dict[str, dict[str, Any]] = {}
    missing: list[Finding] = []
    for spec, path in declaring(config.data, registry):
        built = instantiate_value(spec, registry=registry, settings=config.settings, config_path=path)
        before = len(missing)
        for file in built.files():
            name = relative_to_root(os.fspath(file), root)
            if not (root / name).is_file():
                message = f"There is no data file `{name}`."
                missing.append(
                    Finding(
                        message, "data file not found", path, hint="Relative paths start from the project's folder."
                    )
                )
            else:
                stamp = FileStamp.of(root / name)
                stamps[name] = {"sha256": stamp.sha256, "size": stamp.size}
        if len(missing) == before and callable(getattr(built, "check", None)):
            missing += failures_of(built.check, path)
    if missing:
        raise ConfigError.of(missing)
    return stamps


def failures_of(check: Callable[[], None], path: ConfigPath) -> tuple[Finding, ...]:
    """What a component finds wrong with its files."""
    try:
        check()
    except ConfigError as error:
        return error.under(path).findings
    return ()


def declaring(value: Any, registry: Registry, path: ConfigPath = ()) -> Iterator[tuple[Mapping[str, Any], ConfigPath]]:
    """The specs of components that declare files."""
    if isinstance(value, Mapping):
        key = value.get("_type_")
        if (
            isinstance(key, str)
            and path[:1] != ("model",)
            and callable(getattr(registry.get_module(key).target, "files", None))
        ):
            yield value, path
        for name, item in value.items():
            yield from declaring(item, registry, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from declaring(item, registry, (*path, index))


def model_summary(model: Any) -> dict[str, Any]:
    """The shape of a model, as people compare it: inputs, layers by class, and parameters (without lazy ones)."""
    from torch.nn.parameter import is_lazy

    counted = [parameter.numel() for parameter in model.parameters() if not is_lazy(parameter)]
    layers = {name: type(module).__name__ for name, module in model.named_modules() if name}
    return {"inputs": list(model.inputs), "layers": layers, "parameters": sum(counted)}
