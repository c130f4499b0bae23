"""Which experiments a command line means, without starting doit for each."""

from __future__ import annotations

import shutil

import pytest
from run_folders import made

from otrainer.diagnostics.drawing import draw_error
from otrainer.errors import ConfigError
from otrainer.stages.resolve import resolve
from otrainer.storage import process_memory
from otrainer.storage.experiments import CALLING_FOLDER, find_experiment
from otrainer.storage.runs.run_json import read_run, write_run
from otrainer.tasks.commandline import CommandLine
from otrainer.tasks.selection import select, wanted_format

from .processes import REPO

VERBS = dict.fromkeys(["resolve", "manifest", "validate", "fit", "resume", "train", "audit"], "A sentence.")


@pytest.fixture
def root(tmp_path):
    """A project with four experiments."""
    folder = tmp_path / "configs" / "experiments"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c", "odd,name"):
        (folder / f"{name}.yaml").write_text("")
    return tmp_path


def selected(root, text):
    return [experiment.name for experiment in select(CommandLine.parse(text.split()), VERBS, root).experiments]


def mistakes(root, text):
    with pytest.raises(ConfigError) as caught:
        selected(root, text)
    return [finding.message for finding in caught.value.findings]


def test_a_list_may_be_longer_than_a_files_name(root):
    assert selected(root, f"train EXP={','.join(['a', 'b'] * 150)}") == ["a", "b"]
    (message,) = mistakes(root, f"train EXP={'x' * 300}")
    assert message.startswith("There is no experiment `xxx")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("train EXP=a", ["a"]),
        ("EXP=a", ["a"]),
        ("run train EXP=a", ["a"]),
        ("-n 2 -v 2 train EXP=a", ["a"]),
        ("-f dodo.py train EXP=a", ["a"]),
        ("--db-file=x train EXP=a", ["a"]),
        ("train EXP=b,a", ["b", "a"]),
        ("train EXP=a,a", ["a"]),
        ("train EXP=odd,name", ["odd,name"]),
        ("train EXP=sub/c", ["sub/c"]),
        ("train:a validate:b", ["a", "b"]),
        ("validate:*", ["a", "b", "odd,name", "sub/c"]),
        ("fit:sub/*", ["sub/c"]),
        ("validate", ["a", "b", "odd,name", "sub/c"]),
        ("list", []),
        ("list EXP=a", ["a"]),
        ("info train:a", ["a"]),
        ("forget fit:a", ["a"]),
        ("help train", []),
        ("train --no-such-option EXP=a", None),
        ("--no-such-option train EXP=nowhere", []),
    ],
)
def test_a_command_line_means_its_experiments(root, text, names):
    """doit's own rules say what is a command, an option, a variable and a task."""
    if names is None:
        assert mistakes(root, text)
    else:
        assert selected(root, text) == names


@pytest.mark.parametrize("text", ["", "train", "fit", "train validate", "run"])
def test_training_needs_a_name(root, text):
    """Without one, what there is gets listed."""
    selection = select(CommandLine.parse(text.split()), VERBS, root)
    assert not selection.experiments
    assert "Experiments:\n  a" in selection.message


def test_all_mistakes_come_together(root):
    """Unknown variables, experiments and tasks are told at once."""
    assert sorted(mistakes(root, "trian EXP=a,x EXPP=1 train:y")) == [
        "There is no experiment `x`.",
        "There is no experiment `y`.",
        "There is no task `trian`.",
        "`EXPP=1` sets a variable that no task reads.",
    ]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("train a", "write `doit train EXP=a`"),
        ("train EXP", "write `EXP=...`, without blanks"),
        ("explain cb.ema", "write `doit explain KEY=cb.ema`"),
    ],
)
def test_a_word_that_is_no_task_is_told_how_it_is_written(root, text, hint):
    with pytest.raises(ConfigError) as error:
        select(CommandLine.parse(text.split()), {**VERBS, "explain": ""}, root)
    (finding,) = error.value.findings
    assert hint in finding.hint
    assert not finding.suggestions


def test_a_bare_verb_never_takes_the_experiments_of_other_tasks(root):
    """`doit train validate:b` must not train b."""
    message = "`train` would also take `b`, named by another task."
    assert mistakes(root, "train validate:b") == [message]
    assert mistakes(root, "train validate:b EXP=a") == [message]
    assert selected(root, "train validate:b EXP=a,b") == ["a", "b"]


def test_a_task_has_the_name_that_doit_gives_it(root):
    """Paths and suffixes are for EXP; a task written with one is corrected."""
    with pytest.raises(ConfigError) as caught:
        selected(root, "train:a.yaml")
    assert caught.value.suggestions == ["train:a"]
    assert mistakes(root, "train EXP=") == ["`EXP=` names no experiment."]


def test_a_mistyped_verb_keeps_its_experiment(root):
    """The suggestion can be typed as it stands."""
    with pytest.raises(ConfigError) as caught:
        selected(root, "trian:a")
    assert caught.value.suggestions == ["train:a"]


def test_a_project_without_experiments_can_be_validated(tmp_path):
    """There is nothing to check, and that is said."""
    selection = select(CommandLine.parse(["validate"]), VERBS, tmp_path)
    assert selection.message == "There is none yet: write `configs/experiments/NAME.yaml`."


def test_a_variable_given_twice_means_both(root):
    assert selected(root, "train EXP=a EXP=b") == ["a", "b"]


def test_an_experiment_in_place_of_a_task_is_told_how_to_be_named(root):
    with pytest.raises(ConfigError) as caught:
        selected(root, "validate a")
    assert caught.value.findings[0].hint == "`a` is an experiment: write `doit validate EXP=a`."


def test_an_experiment_that_the_shell_names_is_told_to_go_behind_the_verb(root, monkeypatch):
    monkeypatch.setenv("EXP", "a")
    for text, typed in {"train": "train", "": "train", "resume": "resume", "why": "why"}.items():
        with pytest.raises(ConfigError) as caught:
            select(CommandLine.parse(text.split()), {**VERBS, "why": ""}, root)
        assert caught.value.findings[0].hint == f"It goes behind the verb: `doit {typed} EXP=a`."
    assert selected(root, "train EXP=b") == ["b"]
    assert len(selected(root, "validate")) == 4


@pytest.mark.parametrize(
    ("typed", "step"),
    [
        ("trainer.max_epochs=3", "`trainer: {max_epochs: 3}`, or"),
        ("trainer.max_epochs=3", "read the environment: `max_epochs: ${env:int:MAX_EPOCHS,3}`."),
        ("optimizer.kwargs.lr=1e-3", "`optimizer: {kwargs: {lr: 1e-3}}`, or"),
        ("+seed=yes", "`seed: yes`, or let the config read the environment: `seed: ${env:bool:SEED,yes}`"),
        ("--lr 0.1", "`lr: 0.1`, or let the config read the environment: `lr: ${env:float:LR,0.1}`"),
        ("--trainer.name=adam", "`trainer: {name: adam}`, or let the config read the environment: `name: ${env:NAME"),
        ("--exp b", "Write `doit train EXP=b`."),
        ("-x", "`x: VALUE`, or"),
    ],
)  # fmt: skip
def test_what_other_tools_take_on_the_command_line_is_told_where_it_belongs(root, typed, step):
    with pytest.raises(ConfigError) as caught:
        selected(root, f"train EXP=a {typed}")
    (finding,) = caught.value.findings
    assert step in finding.hint
    assert "EXP=b" in step or "with `defaults: [a.yaml]` and " in finding.hint


@pytest.mark.parametrize(
    ("typed", "step"),
    [
        ("--lr 0.1", "`optimizer: {kwargs: {lr: 0.1}}`, or"),
        ("--batch-size=8", "`data: {batch_size: 8}`, or"),
        ("lr=0.1", "`optimizer: {kwargs: {lr: 0.1}}`, or"),
        ("--foo 3", "`params: {foo: 3}`, or"),
    ],
)
def test_a_value_is_told_at_the_place_where_the_experiment_has_it(root, typed, step):
    """An experiment that says so resolves."""
    text = "schema_version: 1\nmodel: {}\ndata: {batch_size: 4}\noptimizer: {kwargs: {lr: 1.0, lrs: [1]}}\n"
    (root / "configs/experiments/a.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        selected(root, f"train EXP=a {typed}")
    assert step in caught.value.findings[0].hint


def test_an_option_of_doits_goes_before_its_tasks(root):
    for option in ("-a", "-n2", "--always-execute", "--no-continue"):
        with pytest.raises(ConfigError) as caught:
            selected(root, f"train EXP=a {option}")
        assert caught.value.findings[0].hint == f"Options of doit go before its tasks: `doit {option} ... train`."
    assert CommandLine.parse(["-a", "train", "EXP=a"]).always
    assert CommandLine.parse(["run", "--always-execute", "train"]).always
    assert not CommandLine.parse(["list", "-a"]).always


def test_a_path_from_the_folder_where_doit_was_called_is_found(root):
    process_memory.put(CALLING_FOLDER, str(root / "configs"))
    try:
        assert selected(root, "train EXP=./experiments/a.yaml") == ["a"]
        assert selected(root, "train EXP=experiments/sub/../b.yaml") == ["b"]
        (root / "configs" / "mine.yaml").write_text("")
        assert selected(root, "train EXP=mine.yaml") == ["configs/mine.yaml"]
        assert mistakes(root, "train EXP=./none.yaml") == ["There is no experiment `./none.yaml`."]
    finally:
        process_memory.forget(CALLING_FOLDER)


def test_a_name_with_one_letter_too_many_suggests_the_right_one(root):
    (root / "configs/experiments/lm.yaml").write_text("")
    with pytest.raises(ConfigError) as caught:
        selected(root, "train EXP=lmx")
    assert caught.value.suggestions == ["lm"]
    with pytest.raises(ConfigError) as caught:
        selected(root, "train EXP=c")
    assert caught.value.suggestions == ["sub/c"]


@pytest.mark.parametrize("verb", ["why", "show", "diff"])
def test_a_question_about_an_experiment_needs_its_name(root, verb):
    """What to type is shown, with the experiments there are."""
    verbs = {**VERBS, verb: "A sentence."}
    message = select(CommandLine.parse([verb]), verbs, root).message
    assert message == (
        f"`doit {verb}` is about an experiment:\n\n"
        f"  doit {verb} EXP=a{' WITH=sub/c' if verb == 'diff' else ''}\n\n"
        "Experiments:\n  a         a\n  b         b\n  odd,name  odd,name\n  sub/c     sub/c"
    )


def test_a_question_has_no_tasks_of_its_own_for_experiments(root):
    """Its experiment is named by EXP."""
    with pytest.raises(ConfigError) as caught:
        select(CommandLine.parse(["why:a"]), {**VERBS, "why": "A sentence."}, root)
    assert draw_error(caught.value) == "unknown task\n  There is no task `why:a`.\n  Write `doit why EXP=a`."


def test_an_audit_has_a_format_of_its_own(root):
    line = CommandLine.parse(["audit", "EXP=a", "FORMAT=json"])

    assert [experiment.name for experiment in select(line, VERBS, root).experiments] == ["a"]
    assert wanted_format(line) is None
    assert mistakes(root, "audit EXP=a FORMAT=sarif") == ["`FORMAT=sarif` belongs to `doit validate` alone."]
    assert mistakes(root, "audit train EXP=a FORMAT=json")


@pytest.mark.parametrize(
    "named",
    ["runs/evil/evil.yaml", "configs/../runs/evil/evil.yaml", "a", "/etc/passwd", "configs/experiments/gone.yaml"],
)
def test_a_resume_of_the_last_run_reads_no_config_that_a_run_folder_names(root, named):
    """Only an experiment of the project's own may be meant without being named."""
    made(root / "runs/b", "first", state="interrupted")
    (root / "runs/evil").mkdir()
    (root / "runs/evil/evil.yaml").write_text("")
    run = read_run(root / "runs/b")
    write_run(root / "runs/b", {**run, "experiment": "configs/experiments/b.yaml", "ended": "2026-01-01T00:00:00Z"})
    assert selected(root, "resume") == ["b"]
    write_run(root / "runs/evil", {**run, "experiment": named, "ended": "9999-01-01T00:00:00Z"})
    chosen = select(CommandLine.parse(["resume"]), VERBS, root)
    assert chosen.experiments == ()
    assert f"it names `{named}`, which is no experiment below `configs/experiments`" in chosen.message


@pytest.fixture
def sweep(root, monkeypatch):
    """A project whose run of `sweep`, of which SEED names the folder, was interrupted under SEED=1."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("SEED", "1")
    shutil.copytree(REPO / "configs", root / "configs", dirs_exist_ok=True)
    config = "defaults: [baseline.yaml]\nrun: {name: 'sweep-${env:int:SEED,0}'}\n"
    (root / "configs/experiments/sweep.yaml").write_text(config)
    resolve(find_experiment("sweep", root), root)
    made(root / "runs/sweep-1", "first", state="interrupted")
    run = read_run(root / "runs/sweep-1")
    config = {"run": {"name": "sweep-1", "out_dir": "runs/sweep-1"}}
    facts = {"experiment": "configs/experiments/sweep.yaml", "config": config, "ended": "2026-01-01T00:00:00Z"}
    write_run(root / "runs/sweep-1", {**run, **facts})
    return root


def test_a_resume_of_the_last_run_goes_on_with_that_run(sweep):
    assert selected(sweep, "resume") == ["sweep"]


@pytest.mark.parametrize("build", ["as it was", "made anew", "gone"])
@pytest.mark.parametrize("seed", [None, "2"])
def test_a_resume_of_the_last_run_says_where_its_experiment_would_train_now(sweep, monkeypatch, build, seed):
    """Another run would be resumed, or none found; the variable is named as long as it is known to be the reason."""
    monkeypatch.setenv("SEED", seed) if seed else monkeypatch.delenv("SEED")
    if build == "made anew":
        resolve(find_experiment("sweep", sweep), sweep)
    elif build == "gone":
        shutil.rmtree(sweep / "build")
    happened = "changed" if seed else "is not set any more"
    why = f"the environment variable `SEED` {happened}"
    if build != "as it was":
        why = f'`run.name` was "sweep-1", is "sweep-{seed or 0}" (configs/experiments/sweep.yaml:2)'
    now = f"its experiment `sweep` now resolves to `runs/sweep-{seed or 0}`"
    assert mistakes(sweep, "resume") == [f"`runs/sweep-1` was interrupted last; {now}, since {why}."]
    assert selected(sweep, "resume EXP=sweep") == ["sweep"]


def test_a_resume_of_the_last_run_whose_config_is_broken_leaves_that_to_the_stages(sweep):
    (sweep / "configs/experiments/sweep.yaml").write_text("run: {name: [\n")
    assert selected(sweep, "resume") == ["sweep"]


def test_a_split_is_one_that_all_data_have_or_a_validation_set_of_the_experiment(root):
    text = "schema_version: 1\nmodel: {}\ndata: {_type_: %s, val: {clean: {_type_: dataset.x}}}\n"
    (root / "configs/experiments/a.yaml").write_text(text % "data.dataset")
    (root / "configs/experiments/own.yaml").write_text(text % "own.data")

    assert selected(root, "train EXP=a SPLIT=clean") == ["a"]
    assert mistakes(root, "train EXP=a SPLIT=clena") == ["There is no split `clena`."]
    assert mistakes(root, "train EXP=a,b SPLIT=clean") == ["There is no split `clean`."]
    assert selected(root, "train EXP=own SPLIT=anything") == ["own"]
