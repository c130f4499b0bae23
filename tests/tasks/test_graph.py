"""The task graph in real doit processes: which stages execute after which change, and what a person reads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from .processes import STUB

ALL = ["resolve a", "manifest a", "validate a", "fit a"]


def test_a_first_training_executes_every_stage_and_a_second_none(project):
    """doit's own line starts tell both apart, and the second run starts no worker."""
    first = project.doit("train", "EXP=a")
    assert (first.code, first.err) == (0, "")
    assert first.out == (
        ".  resolve:a\n   It has not run yet.\n.  manifest:a\n   It has not run yet.\n"
        ".  validate:a\n   It has not run yet.\n.  fit:a\n   It was not trained yet.\ntrained a\n"
    )
    assert project.executed() == ALL
    second = project.doit("train:a")
    assert (second.code, second.err) == (0, "")
    assert second.out == "-- resolve:a\n-- manifest:a\n-- validate:a\n-- fit:a\n"
    assert project.executed() == []


def test_a_change_costs_the_stages_that_it_touches(project):
    """Each kind of edit, and what re-executes: stages whose inputs come out the same are left alone."""
    data, plugin = project.root / "train.bin", project.root / "plugin.py"
    data.write_text("1")
    plugin.write_text("x = 1")
    text = "lr: 1\nplugin: plugin.py\ndata: train.bin\n"
    project.write("a", text)
    assert project.doit("train", "EXP=a").code == 0
    assert project.executed() == ALL

    def after(change, expected):
        change()
        assert project.doit("train", "EXP=a").code == 0
        assert project.executed() == expected, change

    config = project.root / "configs" / "experiments" / "a.yaml"
    run = project.root / "runs" / "a"
    after(lambda: config.write_text(text + "# a comment\n"), ["resolve a"])
    after(lambda: os.utime(config, ns=(1, 1)), [])
    after(lambda: os.utime(data, ns=(1, 1)), [])
    after(lambda: config.write_text(text.replace("lr: 1", "lr: 2")), ["resolve a", "validate a", "fit a"])
    after(lambda: plugin.write_text("x = 2"), ["manifest a", "validate a", "fit a"])
    after(lambda: data.write_text("2"), ["validate a", "fit a"])
    after(lambda: (run / "last.pt").unlink(), ["fit a"])


def test_a_damaged_run_is_named_and_left_alone(project):
    """Where run.json cannot be read, nothing in its folder is written or moved."""
    assert project.doit("train", "EXP=a").code == 0
    (project.root / "runs" / "a" / "run.json").write_text("{")
    done = project.doit("train", "EXP=a")
    assert done.code == 1
    first, second, _, last = done.err.splitlines()
    assert first == "damaged run"
    assert second.startswith("  `runs/a/run.json` does not read as a run's file: Expecting property name")
    assert last == "  while training a"
    assert sorted(path.name for path in (project.root / "runs" / "a").iterdir()) == ["last.pt", "run.json"]


def test_a_spare_checkpoint_that_was_deleted_is_told_once_and_nothing_is_trained_for_it(project):
    """Another one that goes later is told again."""
    assert project.doit("train", "EXP=a").code == 0
    path = project.root / "runs/a/run.json"
    run = json.loads(path.read_text())
    lost = "   a: `step_1.pt`{} deleted; the run is complete without {}.\n"
    project.taken()

    def training(*gone):
        path.write_text(json.dumps(run | {"outputs": {name: [1, 1, ""] for name in gone} | run["outputs"]}))
        return project.doit("train", "EXP=a").out.replace("-- resolve:a\n-- manifest:a\n-- validate:a\n", "")

    assert training("step_1.pt") == lost.format(" was", "it") + "-- fit:a\n"
    assert training("step_1.pt") == "-- fit:a\n"
    assert training("step_1.pt", "step_2.pt") == lost.format(" and 1 more were", "them") + "-- fit:a\n"
    assert training("step_1.pt", "step_2.pt") == training() == "-- fit:a\n"
    assert project.executed() == []


def test_what_is_altered_or_deleted_in_build_is_made_again_without_training(project):
    """`build` can always be made again: a finished run is known by its own run.json."""
    assert project.doit("train", "EXP=a").code == 0
    build = project.root / "build" / "a"
    whole = {path.name: path.read_bytes() for path in build.iterdir() if "record" not in path.name}
    project.taken()

    def after(change, expected):
        change()
        assert project.doit("train", "EXP=a").code == 0
        assert project.executed() == expected
        assert {name: (build / name).read_bytes() for name in whole} == whole

    after(lambda: (build / "resolved.json").write_text("{}"), ["resolve a"])
    after(lambda: (build / "validated.json").unlink(), ["validate a"])
    after(lambda: (build / "manifest.record.json").write_text("?"), ["manifest a"])
    after(lambda: (build / "fit.json").unlink(), [])
    after(lambda: shutil.rmtree(project.root / "build"), ["resolve a", "manifest a", "validate a"])


def test_nothing_to_do_imports_neither_torch_nor_yaml(project):
    """The check that all is up to date is light, whatever the stages import."""
    assert project.doit("train", "EXP=a").code == 0
    code = (
        "import sys; from doit.doit_cmd import DoitMain; sys.argv[1:] = ['train', 'EXP=a']\n"
        "code = DoitMain().run(sys.argv[1:])\n"
        "heavy = {'torch', 'yaml', 'filelock', 'rich', 'numpy'}\n"
        "shown = {name for name in sys.modules if name.startswith('otrainer.diagnostics.')}\n"
        "print(code, sorted(heavy & set(sys.modules) | shown - {'otrainer.diagnostics.say'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.root, env=project.env, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["-- fit:a", "0 []"]


def test_validate_checks_every_experiment_and_trains_none(project):
    """A broken one does not hide the others' findings, and is told once."""
    project.write("b", "wrong: validate\n")
    project.write("c", "wrong: resolve\n")
    project.write("sub/d")
    done = project.doit("validate")
    assert done.code == 1
    assert sorted(project.executed()) == sorted(
        f"{stage} {name}"
        for name, stages in {
            "a": ("resolve", "manifest", "validate"),
            "b": ("resolve", "manifest", "validate"),
            "c": ("resolve", "examine"),
            "sub/d": ("resolve", "manifest", "validate"),
        }.items()
        for stage in stages
    )
    assert done.err.count("wrong value ── configs/experiments/b.yaml:1:1") == 1
    assert done.err.count("`more` is not right.") == 1
    assert not (project.root / "runs").exists()


def test_tasks_that_stand_anywhere_in_dodo_are_seen_and_so_is_a_path_from_the_folder_of_the_call(project):
    """Behind the last line of ours, and under a name that only the creator knows."""
    dodo = project.root / "dodo.py"
    before = "def task_first():\n    return {'actions': ['true']}\n\n"
    after = "\ndef task_more():\n    yield {'basename': 'last', 'actions': ['true']}\n"
    dodo.write_text(dodo.read_text().replace("project = ", before + "project = ") + after)
    done = project.doit("first", "last")
    assert (done.code, done.out) == (0, ".  first\n.  last\n")
    assert "There are: first, resolve," in project.doit("firts").err

    folder = project.root / "configs" / "experiments"
    command = [sys.executable, "-m", "doit", "-k", "-a", "train", "EXP=./a.yaml"]
    for _ in range(2):
        said = subprocess.run(command, cwd=folder, env=project.env, capture_output=True, text=True, check=True).stdout
        assert [line for line in said.splitlines() if line.startswith(".  ")] == [
            f".  {each.replace(' ', ':')}" for each in ALL
        ]
        assert [stage.replace("fit-anew", "fit") for stage in project.executed()] == ALL
    assert "   `-a` asks for it.\n" in said


def test_tasks_that_train_are_created_where_nothing_but_a_check_is_asked_for_only_if_others_may_name_them(project):
    """Of a thousand experiments, more than half of the tasks; a task of the user's may depend on any."""
    dodo = project.root / "dodo.py"
    with dodo.open("a") as stream:
        stream.write("\nimport atexit\natexit.register(lambda: print('trained', len(project.trained)))\n")
    for asked, created in (("validate", 0), ("schema", 0), ("train", 1), ("list", 1)):
        assert project.doit(asked, "EXP=a").out.splitlines()[-1] == f"trained {created}"

    with dodo.open("a") as stream:
        stream.write("\ndef task_report():\n    return {'actions': ['true'], 'task_dep': ['fit:a']}\n")
    done = project.doit("validate", "EXP=a")
    assert (done.code, done.err, done.out.splitlines()[-1]) == (0, "", "trained 1")


def test_a_mistake_in_a_config_is_drawn_once_and_ends_with_1(project):
    """The golden text of a failure: doit's line, then the diagnostic, and nothing of doit's own."""
    project.write("a", "wrong: validate\n")
    done = project.doit("train", "EXP=a")
    assert done.code == 1
    assert done.lines == [".  resolve:a", ".  manifest:a", ".  validate:a"]
    assert done.err == (
        "wrong value ── configs/experiments/a.yaml:1:1\n  1 | wrong: validate\n    | ^^^^^\n  `wrong` is not right.\n"
        "  while validating a\n"
    )
    again = project.doit("train", "EXP=a")
    assert (again.code, again.err) == (1, done.err)
    assert again.lines == ["-- resolve:a", "-- manifest:a", ".  validate:a"]


def test_what_resolve_cannot_read_is_examined_for_more(project):
    """All mistakes that can be found come together, those included that only a worker finds."""
    project.write("a", "wrong: resolve\n")
    done = project.doit("validate", "EXP=a")
    assert done.code == 1
    assert done.err == (
        "wrong value\n  `wrong` is not right.\n  while reading a\n\n"
        "wrong value\n  `more` is not right.\n  while reading a\n"
    )


def test_a_crash_is_drawn_at_the_users_line_and_in_full_where_that_is_asked_for(project, monkeypatch):
    """The user's code is shown, and neither doit's nor the worker's."""
    project.write("a", "crash: fit\n")
    done = project.doit("train", "EXP=a")
    assert done.code == 1
    assert done.err.replace(f"{STUB}/stub_stages.py", "stub") == (
        "RuntimeError ── stub:76:9\n"
        '  75 |     if config.get("crash") == stage:\n'
        '  76 |         raise RuntimeError("the component\'s own mistake")\n'
        "     |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  the component's own mistake\n"
        "  called in `run_stage`: stub:39:5\n"
        "  Mend that line, or what the config gives it.\n"
        "  while training a\n"
    )
    monkeypatch.setenv("OTRAINER_TRACEBACK", "1")
    whole = project.doit("train", "EXP=a").err.splitlines()
    assert whole[4:6] == ["  the component's own mistake", "  Traceback (most recent call last):"]
    assert "  RuntimeError: the component's own mistake" in whole


def test_a_crash_while_resolving_is_told_as_it_happened(project):
    """Only mistakes in a config are looked into further."""
    project.write("a", "crash: resolve\n")
    done = project.doit("validate", "EXP=a")
    assert done.code == 1
    assert done.err.startswith("RuntimeError ── ")
    assert done.err.endswith("\n  while reading a\n")
    assert project.executed() == ["resolve a"]


def test_a_component_that_calls_exit_fails_its_stage(project):
    """`sys.exit` in a plugin does not end the tool as if all were well."""
    project.write("a", "exit: manifest\n")
    done = project.doit("train", "EXP=a")
    assert done.code == 1
    assert done.err.startswith("SystemExit ── ")
    assert done.err.endswith("\n  while loading the plugins of a\n")


def test_several_experiments_train_in_processes_of_their_own(project):
    """Checks share a worker; no two trainings do, and one that fails leaves the others alone."""
    project.write("b", "die: fit\n")
    project.write("c")
    done = project.doit("train", "EXP=a,b,c")
    assert done.code == 1
    ran = [line.split() for line in project.taken()]
    pids = {(stage, name): pid for stage, name, pid in ran}
    assert len({pids[stage, name] for stage in ("manifest", "validate") for name in "abc"}) == 1
    assert len({pids["fit", name] for name in "abc"} | {pids["validate", "a"]}) == 4
    assert done.err == (
        "worker died\n"
        "  The process that ran `fit:b` was ended by SIGKILL.\n"
        "  The system ends a process like this when memory runs out; a smaller batch needs less.\n"
        "  while training b\n"
    )
    assert "trained c" in done.out


def test_a_lone_experiment_needs_one_worker(project):
    """The process that checked it has everything imported already."""
    project.doit("train", "EXP=a")
    pids = dict(line.rsplit(" ", 1) for line in project.taken())
    assert len({pids["manifest a"], pids["validate a"], pids["fit a"]}) == 1
    assert pids["resolve a"] != pids["fit a"]


def test_stages_run_side_by_side_on_request(project):
    """`doit -n 2` works, with the same reports and exit status."""
    project.write("b", "wrong: validate\n")
    done = project.doit("-n", "2", "validate")
    assert done.code == 1
    assert done.err.count("`wrong` is not right.") == 1
    assert sorted(done.lines) == sorted(
        f".  {stage}:{name}" for name in "ab" for stage in ("resolve", "manifest", "validate")
    )


def test_train_without_an_experiment_trains_nothing_and_says_what_there_is(project):
    """The same for bare `doit`: the verbs, the experiments, and what to type."""
    project.write("a", "# Learns a line. In no time.\nlr: 1\n")
    project.write("sub/b", "lr: 1\n")
    done = project.doit("train")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "Nothing is trained until an experiment is named:\n"
        "\n"
        "  doit train EXP=a\n"
        "\n"
        "Tasks:\n"
        "  resolve        Turn an experiment's YAML files into one plain config.\n"
        "  manifest       List the components there are, each with a fingerprint of its code.\n"
        "  validate       Check experiments from end to end without training (all, or EXP=NAME; FORMAT=json, sarif).\n"
        "  fit            Train a validated experiment, unless its run is complete.\n"
        "  resume         Continue a run from its last checkpoint (the run interrupted last, or EXP=NAME).\n"
        "  evaluate       Evaluate a trained experiment (EXP=NAME, SPLIT=val|test|train, CHECKPOINT=best|last|PATH, "
        "PREDICTIONS=1).\n"
        "  verify-resume  Prove that an experiment, stopped and continued, trains to the same bits (EXP=NAME).\n"
        "  train          Bring an experiment's run up to date: every stage that has to (EXP=NAME).\n"
        "  schema         Write the JSON Schema by which editors check and complete configs (all experiments).\n"
        "  why            Say what would run for an experiment, and why, without running it (EXP=NAME).\n"
        "  show           Print an experiment's config with all origins, or what its model takes (EXP=NAME, MODEL=1).\n"
        "  explain        Explain components, ops and sections (KEY=NAME or a pattern, all, or EXP=NAME; FORMAT=json, "
        "markdown).\n"
        "  diff           Compare an experiment with another one or a kept run, value by value (EXP=NAME WITH=NAME).\n"
        "  audit          List every callable that an experiment's config reaches, without running any (EXP=NAME).\n"
        "  runs           List the runs there are, kept ones included, and what they take on the disk "
        "(all, or EXP=NAME).\n"
        "  prune          Remove kept runs: says which, and does it with YES=1 (all, or EXP=NAME).\n"
        "\n"
        "Experiments:\n"
        "  a      Learns a line.\n"
        "  sub/b  sub/b\n"
    )
    assert project.doit() == done
    assert project.executed() == []


def test_list_shows_the_verbs_and_the_experiments(project):
    """Each in one plain sentence, and no other subtasks."""
    project.write("a", "# Learns a line.\nlr: 1\n")
    done = project.doit("list")
    assert (done.code, done.err) == (0, "")
    lines = [line.split(maxsplit=1) for line in done.out.splitlines()]
    verbs = ["resolve", "manifest", "validate", "fit", "resume", "evaluate", "verify-resume", "train"]
    questions = ["why", "show", "explain", "diff", "audit", "runs", "prune"]
    assert [name for name, _ in lines] == [*verbs, "train:a", "schema", *questions]
    assert dict(lines)["train:a"] == "Learns a line."
    assert all(sentence.rstrip(".").count(". ") == 0 and sentence.endswith(".") for _, sentence in lines)


def test_what_a_model_takes_is_asked_of_a_worker(project):
    """The process of doit imports no torch; of several models, those that can be shown come before what is wrong."""
    project.write("b", "wrong: show-model\n")
    one = project.doit("show", "EXP=a", "MODEL=1")
    assert (one.code, one.out, one.err) == (0, "the model of a\n", "")
    both = project.doit("show", "EXP=b,a", "MODEL=1")
    assert (both.code, both.out) == (1, "# a\nthe model of a\n")
    assert both.err.startswith("wrong value ── configs/experiments/b.yaml:1:1\n")
    assert both.err.endswith("  while showing b\n")
    assert project.executed() == ["show-model a", "show-model b", "show-model a"]
    unclear = project.doit("show", "EXP=a", "MODEL=yes")
    assert (unclear.code, unclear.out) == (1, "")
    assert unclear.err == (
        "unclear question\n  `MODEL=yes` is neither yes nor no.\n  `MODEL=1` shows what the model takes.\n"
        "  while showing a\n"
    )


MISTYPED = {
    "trian EXP=a": (
        "unknown task\n"
        "  There is no task `trian`. Did you mean `train`?\n"
        "  There are: resolve, manifest, validate, fit, resume, evaluate, verify-resume, train, schema, why, show, "
        "explain, diff, audit, runs, prune (each with EXP=NAME, or as `train:NAME`).\n"
    ),
    "train:basline": (
        "unknown experiment\n  There is no experiment `basline`. Did you mean `baseline`?\n  There are: a, baseline.\n"
    ),
    "train EXPP=a": (
        "unknown variable\n  `EXPP=a` sets a variable that no task reads. Did you mean `EXP`?\n"
        "  There are: EXP, WITH, MODEL, YES, FORMAT, SPLIT, CHECKPOINT, PREDICTIONS, KEY.\n"
    ),
    "train EXP=a -n 2": (
        "misplaced option\n"
        "  `-n` stands behind a task, where doit reads it as an option of that task.\n"
        "  Options of doit go before its tasks: `doit -n ... train`.\n"
    ),
}


@pytest.mark.parametrize("line", MISTYPED)
def test_a_mistyped_command_is_drawn_with_what_was_meant(project, line):
    """Golden texts; nothing executes, and no traceback is shown."""
    project.write("baseline")
    done = project.doit(*line.split())
    assert (done.code, done.out, done.err) == (1, "", f"{MISTYPED[line]}  while reading the command line\n")
    assert project.executed() == []


def test_an_experiment_may_lie_anywhere(project, tmp_path):
    """A path to a YAML file outside the project is an experiment like any other."""
    (tmp_path / "far").mkdir()
    path = tmp_path / "far" / "lr=2.yaml"
    path.write_text("lr: 2\nout_dir: runs/far\n")
    done = project.doit("train", f"EXP={path}")
    assert done.code == 0
    assert done.lines[-1] == f".  fit:{str(path).replace('=', '%3D')}"
    assert (project.root / "runs" / "far" / "run.json").exists()
    assert project.doit("train", f"EXP={path}").lines[-1].startswith("-- fit:")


def test_resume_continues_the_run_interrupted_last(project):
    """Without EXP the last interrupted run's experiment is taken; with nothing interrupted that is said."""
    nothing = project.doit("resume")
    assert (nothing.code, nothing.err) == (0, "")
    assert nothing.out == "No run below `runs` was interrupted: there is nothing to resume.\n"
    project.write("b")
    project.doit("train", "EXP=a,b")
    run = project.root / "runs" / "b" / "run.json"
    run.write_text(run.read_text().replace('"complete"', '"interrupted"'))
    project.taken()
    done = project.doit("resume")
    assert done.lines == ["-- resolve:b", "-- manifest:b", "-- validate:b", ".  resume:b"]
    assert project.executed() == ["resume b"]
    assert project.doit("resume", "EXP=b").lines[-1] == "-- resume:b"


@pytest.mark.parametrize("words", [["train", "EXP=fine,pre"], ["-n", "2", "train:fine", "fit:pre"]])
def test_a_run_is_trained_before_one_that_begins_from_it(project, words):
    """In whatever order they are named; where it fails, the other one is not begun."""
    checkpoint = "runs/pre/last.pt"
    project.write("pre")
    project.write("fine", f"resume_from: {checkpoint}\ndata: {checkpoint}\n")
    assert project.doit("resolve", "EXP=fine,pre").code == 0
    project.taken()
    done = project.doit(*words)
    assert (done.code, done.err) == (0, "")
    executed = project.executed()
    assert executed.index("fit pre") < executed.index("validate fine") < executed.index("fit fine")
    project.write("pre", "lr: 2\nwrong: fit\n")
    assert project.doit(*words).code == 1
    assert project.executed() == ["resolve pre", "validate pre", "fit pre"]


def test_a_damaged_state_file_is_set_aside_with_a_word(project):
    """What doit had remembered is only a cache: the stages run again, and no traceback is shown."""
    assert project.doit("train", "EXP=a").code == 0
    (project.root / "build" / ".doit.db").write_bytes(b"not a database, but long enough for a header" * 50)
    done = project.doit("train", "EXP=a")
    assert done.code == 0
    assert done.err == (
        "`build/.doit.db` was damaged: it is kept as `build/.doit.db.damaged`, and doit starts a new one.\n"
    )
    assert done.lines[-1] == "-- fit:a"
    assert project.doit("train", "EXP=a").err == ""


def test_doit_may_be_called_from_elsewhere(project, tmp_path):
    """Relative paths start from the folder of dodo.py, wherever doit was typed."""
    done = subprocess.run(
        [sys.executable, "-m", "doit", "-f", str(project.root / "dodo.py"), "train", "EXP=a"],
        cwd=tmp_path,
        env=project.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (project.root / "build" / "a" / "fit.json").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project"]


def test_experiments_take_turns_in_the_same_order_each_time(project):
    """Whatever Python's hash seed is and wherever objects lie in memory."""
    project.write("b", "lr: 1\n")
    first = project.doit("train", "EXP=a,b").lines
    assert first[-2:] == [".  fit:a", ".  fit:b"]
    for seed in "12":
        shutil.rmtree(project.root / "build")
        shutil.rmtree(project.root / "runs")
        project.env["PYTHONHASHSEED"] = seed
        assert project.doit("train", "EXP=a,b").lines == first


def test_what_doit_loaded_is_not_gone_through_once_more_as_it_ends(project):
    """A third of what a call costs beyond doit would be the garbage collector's last pass over modules that stay."""
    with (project.root / "dodo.py").open("a") as stream:
        stream.write('\nimport atexit, gc\natexit.register(lambda: print("kept", gc.get_freeze_count()))\n')
    loaded = int(project.doit("list").out.splitlines()[-1].removeprefix("kept "))
    assert loaded > 10_000
