"""Parts of otrainer that never decide what is trained, so that changing them retrains nothing; each with its reason."""

from __future__ import annotations

# A module, `module:NAME` for one name of it, or `package.*` for all modules of a package.
ASIDE = {
    "otrainer": "what a package shows at its top is reached by the names themselves",
    "otrainer.errors": "what is said where something is wrong; then nothing is trained",
    "otrainer.config.*": "how YAML becomes the config, which counts itself",
    "otrainer.tasks.*": "when something is done",
    "otrainer.queries.*": "what is told of it",
    "otrainer.plan": "what is judged before, and the definition itself",
    "otrainer.validation": "the same",
    "otrainer.definition": "the same",
    "otrainer.stages": "the same",
    "otrainer.datafiles": "the identity of data, which counts itself",
    "otrainer.starts": "from which checkpoint a run goes on, by its definition",
    "otrainer.runbook": "run.json is written beside the training",
    "otrainer.artifacts": "how files are written; what stands in them is the config and the checkpoints",
    "otrainer.records": "what a stage read; judged before anything is trained",
    "otrainer.runs": "run.json is written beside the training",
    "otrainer.confine": "where a run may write, not what",
    "otrainer.ownership": "what is left alone",
    "otrainer.locks": "who may train, not what",
    "otrainer.project": "where a project lies",
    "otrainer.blame.*": "whose fault a failure is",
    "otrainer.origin.*": "what is said of it; nothing is trained then",
    "otrainer.registry.builtins": "which keys there are; each that is used counts by its own target",
    "otrainer.registry.torch_names": "the same",
    "otrainer.registry.core:import_factory": "imports what a key stands for, which counts on its own",
    "otrainer.registry.core:import_hint": "words of an error",
    "otrainer.registry.places": "where something was registered",
    "otrainer.registry.handshake": "what is refused when a plugin registers",
    "otrainer.registry.contracts": "the same",
    "otrainer.registry.entries": "the same",
    "otrainer.registry.signature": "what is refused before anything is called",
    "otrainer.registry.from_source": "sources are what counts",
    "otrainer.registry.plugins": "imports plugins, which count on their own",
    "otrainer.registry.targets": "what is refused of a `_target_`, which counts on its own",
    "otrainer.registry.fingerprint.*": "this package",
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
