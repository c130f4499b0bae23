"""Parts of otrainer that never decide what is trained, so that changing them retrains nothing; each with its reason."""

from __future__ import annotations

# A module, `module:NAME` for one name of it, or `package.*` for all modules of a package.
ASIDE = {
    "otrainer": "what a package shows at its top is reached by the names themselves",
    "otrainer.errors": "what is said where something is wrong; then nothing is trained",
    "otrainer.config.*": "how YAML becomes the config, which counts itself",
    "otrainer.tasks.*": "when something is done",
    "otrainer.commands.*": "what is told of it",
    "otrainer.stages.plan": "what is judged before, and the definition itself",
    "otrainer.stages.checks": "the same",
    "otrainer.stages.definition": "the same",
    "otrainer.stages.artifacts": "the same",
    "otrainer.stages.resolve": "the same",
    "otrainer.stages.manifest": "the same",
    "otrainer.stages.validate": "the same",
    "otrainer.storage.data_files": "the identity of data, which counts itself",
    "otrainer.stages.fit.start": "from which checkpoint a run goes on, by its definition",
    "otrainer.stages.fit.run_record": "run.json is written beside the training",
    "otrainer.storage.atomic": "how files are written; what stands in them is the config and the checkpoints",
    "otrainer.storage.records": "what a stage read; judged before anything is trained",
    "otrainer.storage.runs.run_json": "run.json is written beside the training",
    "otrainer.storage.inside_project": "where a run may write, not what",
    "otrainer.storage.runs.ownership": "what is left alone",
    "otrainer.storage.runs.lock": "who may train, not what",
    "otrainer.storage.project": "where a project lies",
    "otrainer.diagnostics.exceptions.*": "whose fault a failure is",
    "otrainer.stages.failures.*": "what is said of it; nothing is trained then",
    "otrainer.registry.builtins": "which keys there are; each that is used counts by its own target",
    "otrainer.registry.torch_names": "the same",
    "otrainer.registry.core:import_factory": "imports what a key stands for, which counts on its own",
    "otrainer.registry.core:import_hint": "words of an error",
    "otrainer.registry.locations": "where something was registered",
    "otrainer.registry.checks": "what is refused when a plugin registers",
    "otrainer.registry.contracts": "the same",
    "otrainer.registry.entries": "the same",
    "otrainer.registry.build.signature": "what is refused before anything is called",
    "otrainer.registry.plugins.from_source": "sources are what counts",
    "otrainer.registry.plugins.load": "imports plugins, which count on their own",
    "otrainer.registry.build.targets": "what is refused of a `_target_`, which counts on its own",
    "otrainer.fingerprint.*": "this package",
}


def is_aside(module: str, name: str) -> bool:
    """Whether a name of otrainer's own decides nothing."""
    if not module.startswith("otrainer"):
        return False
    package = module
    while package:
        if f"{package}.*" in ASIDE:
            return True
        package = package.rpartition(".")[0]
    return module in ASIDE or f"{module}:{name}" in ASIDE
