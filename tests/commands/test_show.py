"""`doit show` prints the config as the files are now, each value with the place that set it."""

from __future__ import annotations

from pathlib import Path

from incremental.steps import edit, write
from trained import A, ask, listing

RUNTIME, BASE = "configs/base/runtime.yaml", "configs/experiments/base.yaml"
SHOWN = f"""\
schema_version: 1                                    # {RUNTIME}:3
settings:
  strict: true                                       # {RUNTIME}:6
  allow_imports: true                                # {RUNTIME}:7
  allow_target: false                                # {RUNTIME}:8
  allowed_import_prefixes: [otrainer., extensions.]  # {BASE}:4
run:
  out_dir: runs/a                                    # {RUNTIME}:14
  seed: 0                                            # {A}:3
  device: cpu                                        # {RUNTIME}:16
  precision: fp32                                    # {RUNTIME}:17
  deterministic: false                               # {RUNTIME}:18
  name: a                                            # {A}:3
trainer:
  _type_: trainer.default                            # {RUNTIME}:21
  max_epochs: 1                                      # {BASE}:5
  log_every_n_steps: 100                             # {BASE}:5
data:
  _type_: data.listed                                # {BASE}:6
  files: [numbers.txt, folder]                       # {BASE}:6
io:
  _type_: io.mapping                                 # {BASE}:7
  model_kwargs:
    x: [x]                                           # {BASE}:7
  targets:
    y: [y]                                           # {BASE}:7
loss:
  _type_: loss.counted                               # {BASE}:8
  scale: 1.0                                         # {BASE}:8
optimizer:
  _type_: optim_factory.torch                        # {RUNTIME}:43
  type: optim_cls.AdamW                              # {RUNTIME}:44
  kwargs:
    lr: 0.001                                        # {RUNTIME}:45
loggers: []                                          # {BASE}:9
callbacks:
  - _type_: cb.model_checkpoint                      # {RUNTIME}:52
    save_dir: runs/a/checkpoints                     # {RUNTIME}:53
    save_last: true                                  # {RUNTIME}:54
    every_n_steps: 10                                # {RUNTIME}:55
imports: [extensions.parts]                          # {BASE}:3
model:
  sequential:
    inputs: [x]                                      # {BASE}:10
    layers:
      - _type_: nn.Linear                            # {BASE}:10
        in_features: 4                               # {BASE}:10
        out_features: 4                              # {BASE}:10"""


def test_each_value_is_shown_with_the_file_and_line_that_set_it(root: Path) -> None:
    before = listing(root)

    assert ask("show", root, "a").report == SHOWN
    assert listing(root) == before


def test_the_files_count_as_they_are_now(root: Path) -> None:
    edit(A, "name: a", "name: other")(root)

    assert f"  name: other                                        # {A}:3\n" in ask("show", root, "a").report


def test_several_experiments_are_shown_under_their_names(root: Path) -> None:
    write("configs/experiments/b.yaml", "defaults: [a.yaml]\n")(root)
    first, second = ask("show", root, "a", "b").report.split("\n\n")

    assert (first, second.splitlines()[0]) == (f"# a\n{SHOWN}", "# b")


def test_an_environment_variable_is_shown_by_what_it_gave(root: Path, monkeypatch) -> None:
    monkeypatch.setenv("SEED", "7")

    assert f"  seed: 7                                            # {A}:3\n" in ask("show", root, "a").report


def test_what_does_not_resolve_is_shown_as_far_as_it_goes_and_then_the_mistake(root: Path, capsys) -> None:
    edit(A, "${env:int:SEED,0}", "${run.nmae}")(root)
    outcome = ask("show", root, "a")

    assert "max_epochs: 1 " in capsys.readouterr().out
    assert outcome.status == "failed"
    assert (
        outcome.drawn
        == f"""\
unknown path ── {A}:3:23
  2 | defaults: [base.yaml]
  3 | run: {{name: a, seed: "${{run.nmae}}"}}
    |                       ^^^^^^^^^^^
  There is no `run.nmae`. Did you mean `run.name`?
  Paths start at the top of the config."""
    )
