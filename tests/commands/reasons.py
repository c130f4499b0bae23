"""Changes to a trained project, and what `doit why` says of the stages that are not up to date then."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from incremental.steps import edit, remove, touch, write
from trained import BASE, HELPER, PARTS, A

RUN, LAST = "runs/a/run.json", "runs/a/checkpoints/last.pt"
LOSS = "loss: {_merge_: replace, _value_: {_type_: loss.counted, scale: 1.0}}"
LOGGERS = "loggers: {_merge_: replace, _value_: []}"
RUNS, FAILS, UNTOLD = "would run", "would fail", "cannot be told"
BELOW = " " * 14  # where there is something to say of a stage that is up to date
Change = Callable[[Path], object]


def says(*, more: str = "", **stages: tuple[str, ...] | list[str]) -> str:
    """The answer in which each stage has a verdict and, below it, its reasons; then what is drawn."""
    lines = ["a:"]
    for stage, (verdict, *reasons) in stages.items():
        lines += [f"  {stage:<8}  {verdict}".rstrip(), *(f"{BELOW}{reason}" for reason in reasons)]
    return "\n".join([*lines, *more.splitlines(), ""])


def value(text: str, file: str = BASE) -> str:
    """The answer where a value differs: every stage but `manifest` says it."""
    return says(resolve=[RUNS, f"`{file}` changed.", text], validate=[RUNS, text], fit=[RUNS, text])


def code(*texts: str, used: str = "data.listed loss.counted", unused: str = "loss.beside", file: str = HELPER) -> str:
    """The answer where code differs: `fit` says which and how it is reached, unless it does not care."""
    lines = [f"The code of `{key}` changed." for key in used.split()]
    lines += [f"The code of `{key}`, which is not used here, changed." for key in unused.split()]
    stages = {"manifest": [RUNS, f"`{file}` changed."], "validate": [RUNS, *lines]}
    return says(**stages, **({"fit": [RUNS, *texts]} if texts else {}))


def unresolved(drawn: str) -> str:
    """The answer where the config does not resolve any more."""
    reason = "The config does not resolve."
    stages = {"resolve": [FAILS, f"`{A}` changed."], "validate": [UNTOLD, reason], "fit": [UNTOLD, reason]}
    return says(**stages, more=f"\n{drawn}")


def both(*changes: Change) -> Change:
    return lambda root: [change(root) for change in changes]


def in_json(name: str, **facts: object) -> Change:
    """Other facts in a file of JSON than those that were left there."""

    def change(root: Path) -> None:
        (root / name).write_text(json.dumps(json.loads((root / name).read_text()) | facts))

    return change


def spare(*names: str) -> Change:
    """Let the run have left checkpoints of steps, which somebody deleted."""

    def change(root: Path) -> None:
        outputs = json.loads((root / RUN).read_text())["outputs"]
        in_json(RUN, outputs={name: [5, 1, ""] for name in names} | outputs)(root)

    return change


def include(root: Path) -> None:
    write("configs/experiments/more.yaml", "loss: {scale: 3.0}\n")(root)
    edit(A, "[base.yaml]", "[base.yaml, more.yaml]")(root)


def quiet_plugin(root: Path) -> None:
    write("extensions/quiet.py", "def register(registry):\n    pass\n")(root)
    edit(BASE, "[extensions.parts]", "[extensions.parts, extensions.quiet]")(root)


def idle(text: str, file: str = BASE) -> str:
    """The answer where a value differs that cannot change what is trained: `fit` is up to date, and says it."""
    note = f"{BELOW}{text.removesuffix('.')}, which does not retrain."
    return says(resolve=[RUNS, f"`{file}` changed.", text], validate=[RUNS, text], more=note)


IMPORTS = f'`imports` was ["extensions.parts"], is ["extensions.parts", "extensions.quiet"] ({BASE}:3).'
VALUES: dict[str, tuple[Change, str]] = {
    "a value changed": (
        edit(BASE, "scale: 1.0", "scale: 2.0"),
        value(f"`loss.scale` was 1.0, is 2.0 ({BASE}:8)."),
    ),
    "a value was added": (
        edit(BASE, "max_epochs: 1,", "max_epochs: 1, clip: 1.0,"),
        value(f"`trainer.clip` is new: 1.0 ({BASE}:5)."),
    ),
    "a note": (
        edit(A, "run:", "params: {tried: once}\nrun:"),
        idle(f'`params` is new: {{"tried": "once"}} ({A}:3).', A),
    ),
    "null for none": (edit(A, "run:", "scheduler: null\nrun:"), idle(f"`scheduler` is new: null ({A}:3).", A)),
    "a logger that prints": (
        edit(BASE, LOGGERS, "loggers: {_merge_: replace, _value_: [{_type_: log.stdout}]}"),
        idle(f'`loggers[0]` is new: {{"_type_": "log.stdout"}} ({BASE}:9).'),
    ),
    "a default written down": (
        edit(A, "{name: a,", "{name: a, compile: false,"),
        idle(f"`run.compile` is new: false ({A}:3).", A),
    ),
    "a value was removed": (
        edit(BASE, ", scale: 1.0", ""),
        value(f"`loss.scale` was 1.0, is gone ({BASE}:8)."),
    ),
    "a layer was put before others": (
        edit(BASE, "layers: [", "layers: [{_type_: nn.ReLU}, "),
        value(f'`model.sequential.layers[0]` is new: {{"_type_": "nn.ReLU"}} ({BASE}:10).'),
    ),
    "a section has its keys in another order": (
        edit(BASE, "_type_: loss.counted, scale: 1.0", "scale: 1.0, _type_: loss.counted"),
        value(f"`loss` has its keys in another order: scale, _type_ ({BASE}:8)."),
    ),
    "an include was added": (include, value("`loss.scale` was 1.0, is 3.0 (configs/experiments/more.yaml:1).", A)),
    "a long value": (
        edit(BASE, "files: [numbers.txt, folder]", f"files: [{'x' * 99}]"),
        value(f'`data.files` was ["numbers.txt", "folder"], is ["{"x" * 55}... ({BASE}:6).'),
    ),
    "a value was written in another file": (
        edit(A, "run:", "loggers: []\nrun:"),
        says(resolve=[RUNS, f"`{A}` changed.", "No value differs."]),
    ),
    "only layout changed": (
        edit(A, "# Counts", "# It counts"),
        says(resolve=[RUNS, f"`{A}` changed.", "No value differs."]),
    ),
    "a plugin more that does nothing on import": (
        quiet_plugin,
        says(
            resolve=[RUNS, f"`{BASE}` changed.", IMPORTS],
            manifest=[RUNS, "`imports` changed."],
            validate=[RUNS, IMPORTS],
        ),
    ),
    "the config has no model": (
        edit(A, "defaults: [base.yaml]\n", "defaults: [../base/runtime.yaml]\n"),
        unresolved(f"""\
missing model ── {A}:2:1
  1 | # Counts its trainings.
  2 | defaults: [../base/runtime.yaml]
    | ^^^^^^^^
  The config has no `model`.
  Describe the model under `model: {{sequential: ...}}` or `model: {{graph: ...}}`.
"""),
    ),
    "a reference to nothing": (
        edit(A, "${env:int:SEED,0}", "${run.nmae}"),
        unresolved(f"""\
unknown path ── {A}:3:23
  2 | defaults: [base.yaml]
  3 | run: {{name: a, seed: "${{run.nmae}}"}}
    |                       ^^^^^^^^^^^
  There is no `run.nmae`. Did you mean `run.name`?
  Paths start at the top of the config.
"""),
    ),
}
CODE: dict[str, tuple[Change, str]] = {
    "a constant two imports away": (
        edit(HELPER, "FACTOR = 2.0", "FACTOR = 3.0"),
        code("`extensions/helper.py: FACTOR` changed (`loss.counted` -> Counted -> weigh -> weighed -> FACTOR)."),
    ),
    "a decorator": (
        edit(HELPER, "return fn(x) * 1", "return fn(x) * 2"),
        code("`extensions/helper.py: step` changed (`loss.counted` -> Counted -> weigh -> weighed -> step)."),
    ),
    "an attribute of a helper": (
        edit(HELPER, "OFFSET = 1.0", "OFFSET = 2.0"),
        code(
            "`extensions/helper.py: OFFSET` changed (`loss.counted` -> Counted -> OFFSET).",
            used="loss.counted",
            unused="",
        ),
    ),
    "a base": (
        edit(HELPER, "bias = 0.0", "bias = 1.0"),
        code("`extensions/helper.py: Base` changed (`loss.counted` -> Counted -> Base).", used="loss.counted"),
    ),
    "a symbol was added": (
        edit(PARTS, "self.scale = scale\n", "self.scale = scale * UNUSED\n"),
        code(
            "`extensions/parts.py: Counted` changed (`loss.counted` -> Counted).",
            "`extensions/parts.py: UNUSED` is used now (`loss.counted` -> Counted -> UNUSED).",
            used="loss.counted",
            unused="",
            file=PARTS,
        ),
    ),
    "a symbol was removed": (
        edit(PARTS, " * helper.OFFSET", ""),
        code(
            "`extensions/parts.py: Counted` changed (`loss.counted` -> Counted).",
            "`extensions/helper.py: OFFSET` is not used any more (`loss.counted` -> Counted -> OFFSET).",
            used="loss.counted",
            unused="",
            file=PARTS,
        ),
    ),
    "a module that acts when imported": (
        edit(PARTS, "UNUSED = 1\n", "UNUSED = 1\nprint('', end='')\n"),
        code(
            "`extensions/parts.py: Listed` changed (`data.listed` -> Listed).",
            "`extensions/parts.py: Counted` changed (`loss.counted` -> Counted).",
            f"What `{PARTS}` does when imported changed (`data.listed` -> Listed -> import extensions.parts).",
            file=PARTS,
        ),
    ),
    "a class that is not used": (edit(PARTS, "outputs.sum()", "outputs.mean()"), code(used="", file=PARTS)),
    "a docstring": (
        edit(PARTS, '"""A loss that notes each training."""', '"""A loss that counts."""'),
        says(manifest=[RUNS, f"`{PARTS}` changed."], validate=[RUNS, "The docstring of `loss.counted` changed."]),
    ),
    "a comment": (
        edit(PARTS, "UNUSED = 1\n", "UNUSED = 1  # of no use\n"),
        says(manifest=[RUNS, f"`{PARTS}` changed."]),
    ),
    "a text that is no Python": (
        edit(HELPER, "SPARE = 0", "SPARE = ("),
        code() + "  fit       cannot be told\n              `extensions/helper.py` cannot be parsed.\n",
    ),
}
FILES: dict[str, tuple[Change, str]] = {
    "replaced data": (
        write("numbers.txt", "3 2 1"),
        says(validate=[RUNS, "`numbers.txt` changed."], fit=[RUNS, "The data file `numbers.txt` changed."]),
    ),
    "a file more in a data folder": (
        write("folder/new.txt", "5"),
        says(validate=[RUNS, "`folder` changed."], fit=[RUNS, "The data file `folder` changed."]),
    ),
    "touched data": (touch("numbers.txt"), says()),
    "missing data": (
        remove("numbers.txt"),
        says(validate=[RUNS, "`numbers.txt` is gone."], fit=[UNTOLD, "`doit validate EXP=a` has to be run first."]),
    ),
    "a deleted artifact": (
        remove("build/a/validated.json"),
        says(validate=[RUNS, "`build/a/validated.json` was deleted."]),
    ),
    "a deleted manifest, which would be the same": (
        remove("build/a/manifest.json"),
        says(manifest=[RUNS, "`build/a/manifest.json` was deleted."]),
    ),
    "an altered artifact": (
        write("build/a/resolved.json", "{}"),
        says(resolve=[RUNS, "`build/a/resolved.json` was altered."]),
    ),
    "an altered manifest": (
        write("build/a/manifest.json", "{}"),
        says(manifest=[RUNS, "`build/a/manifest.json` was altered."]),
    ),
    "a damaged record": (
        write("build/a/resolve.record.json", "{"),
        says(resolve=[RUNS, "Its record `build/a/resolve.record.json` is damaged."]),
    ),
    "another version of a stage": (
        in_json("build/a/validate.record.json", version=0),
        says(validate=[RUNS, "This version of otrainer does it in another way."]),
    ),
    "no build folder": (
        lambda root: shutil.rmtree(root / "build"),
        says(
            resolve=[RUNS, "It has not run yet."],
            manifest=[RUNS, "It has not run yet."],
            validate=[RUNS, "It has not run yet."],
            fit=[RUNS, "`build/a/fit.json` is gone.", "Nothing would be trained: the run is complete."],
        ),
    ),
}
RUN_FOLDER: dict[str, tuple[Change, str]] = {
    "no run folder": (lambda root: shutil.rmtree(root / "runs"), says(fit=[RUNS, "It was not trained yet."])),
    "no checkpoint": (remove(LAST), says(fit=[RUNS, "`checkpoints/last.pt` was deleted."])),
    "an altered checkpoint": (write(LAST, "x"), says(fit=[RUNS, "`checkpoints/last.pt` was altered."])),
    "a touched checkpoint": (touch(LAST), says()),
    "no checkpoint of a step": (
        spare("checkpoints/step_1.pt"),
        says(more=f"{BELOW}`checkpoints/step_1.pt` was deleted; the run is complete without it."),
    ),
    "no checkpoints of several steps": (
        spare("checkpoints/step_1.pt", "checkpoints/step_2.pt", "checkpoints/step_3.pt"),
        says(more=f"{BELOW}`checkpoints/step_1.pt` and 2 more were deleted; the run is complete without them."),
    ),
    "a run that was interrupted": (
        in_json(RUN, state="interrupted", global_step=2),
        says(fit=[RUNS, "It was interrupted. It continues from step 2."]),
    ),
    "a run whose process was killed": (
        in_json(RUN, state="running", global_step=1234),
        says(fit=[RUNS, "It was cut off. It continues from step 1,234."]),
    ),
    "a run that failed and saved nothing": (
        both(in_json(RUN, state="failed", outputs={}), remove(LAST), remove(LAST.replace("last", "previous"))),
        says(fit=[RUNS, "It failed. It begins anew, since it has no checkpoint."]),
    ),
    "a damaged run.json": (
        write(RUN, "{}"),
        says(
            fit=[
                FAILS,
                "`runs/a/run.json` does not read as a run's file: its schema is None, not 1.",
                "Nothing in this folder is touched; move it away, or mend the file.",
            ]
        ),
    ),
    "a folder that is no run": (
        remove(RUN),
        says(
            fit=[
                FAILS,
                "`runs/a` holds something, but no run.json: it is not a run of ours. Nothing in it is touched.",
                "Name another `run.out_dir`, or move what is there.",
            ]
        ),
    ),
    "code read by other rules": (
        both(in_json("runs/a/code/fingerprints.json", rules="old"), edit(HELPER, "OFFSET = 1.0", "OFFSET = 2.0")),
        code("This version of otrainer reads code in another way.", used="loss.counted", unused=""),
    ),
    "no note of what its code was": (
        both(remove("runs/a/code/fingerprints.json"), edit(HELPER, "OFFSET = 1.0", "OFFSET = 2.0")),
        code("The code of `loss.counted` changed.", used="loss.counted", unused=""),
    ),
}
TRACKED = f'`settings.track_packages` is new: ["torch"] ({A}:3).'
PACKAGES: dict[str, tuple[Change, str]] = {
    "a package that is tracked now": (
        edit(A, "run:", "settings: {track_packages: [torch]}\nrun:"),
        says(
            resolve=[RUNS, f"`{A}` changed.", TRACKED],
            manifest=[RUNS, "`settings` changed."],
            validate=[RUNS, TRACKED],
            fit=[RUNS, f"The package `torch` ({version('torch')}) is tracked now."],
        ),
    ),
}
TABLE = {**PACKAGES, **VALUES, **CODE, **FILES, **RUN_FOLDER}
