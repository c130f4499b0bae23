"""The stage `validate`: find every mistake that shows before training, and fix the definition of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.registry import build_registry
from otrainer.registry.dotted_names import sources_of
from otrainer.registry.plugins.import_reads import asked_by, read_by, together
from otrainer.registry.plugins.packages import metadata_files
from otrainer.registry.plugins.variables import Tracker
from otrainer.stages.artifacts import encoded, keep
from otrainer.stages.built import VALIDATED
from otrainer.stages.definition import is_own, look, search_as_left
from otrainer.stages.outcome import Outcome
from otrainer.stages.plan import make_plan
from otrainer.stages.resolve import resolved
from otrainer.stages.trials_of_model import trial_weights
from otrainer.stages.weights_told import told
from otrainer.storage.data_files import identify
from otrainer.storage.project import display_path
from otrainer.storage.records import Record, stamp_files

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.storage.experiments import Experiment


def validate(experiment: Experiment, root: Path) -> Outcome:
    """Find all that can be found wrong without training, and fix the definition of the run.

    It reports what the model takes of the weights that it starts from, if it does.
    """
    config, tracker = resolved(experiment, root), Tracker(root)
    search_as_left(experiment, root)
    registry, file = build_registry(), experiment.file.as_posix()
    plan = make_plan(config, registry, look(root), experiment=file, root=root, tracker=tracker)
    named = plan.resume_from
    foreign = [named] if named is not None and not is_own(named, plan.run_dir, root) else []
    packages = [str(file) for file in metadata_files(config.data)]
    read = [*plan.data_files, *foreign, *packages]
    files = {display_path(name, root): identify(name, root) for name in read}
    sources = sources_of((row["target"] for row in plan.code if row["plugin"] is None), look(root))
    files |= stamp_files(sources.values(), root)
    modules = look(root).modules(config.data.get("imports") or ())
    missed = {name: None for name, stamp in read_by(modules).items() if stamp is None}
    asked = together(asked_by(modules), Record(env=tracker.env, listings=tracker.listings, kinds=tracker.kinds))
    record = asked._replace(files={**files, **tracker.files, **missed})
    keep(experiment, root, "validate", encoded("validate", {VALIDATED: plan.to_json()}), record)
    return Outcome(report="\n".join(told(each) for each in trial_weights(config, registry)))
