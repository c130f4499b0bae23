"""A check of many experiments: the worker validates one while doit resolves the next, and nobody can tell."""

from __future__ import annotations

from .processes import until

IN_ORDER = [
    f".  {stage}:{name}"
    for stages, names in ((("resolve", "manifest"), "ab"), (("validate",), "ab"))
    for name in names
    for stage in stages
]


def test_an_experiment_is_validated_while_the_next_one_is_resolved(project):
    """The worker was through with it before it had the next one's manifest to make; doit tells its own order."""
    project.write("b")
    done = project.doit("validate")
    assert (done.code, done.err, done.lines) == (0, "", IN_ORDER)
    ran = project.executed()
    assert sorted(ran) == sorted(f"{stage} {name}" for stage in ("resolve", "manifest", "validate") for name in "ab")
    assert ran.index("manifest a") < ran.index("validate a") < ran.index("manifest b") < ran.index("validate b")


def test_what_a_stage_prints_ahead_of_its_turn_stands_below_its_own_line(project):
    """Not below the line of whatever doit was about when it was printed."""
    (project.root / "go").touch()
    for name in ("a", "b", "c"):
        project.write(name, f"wait: validate\nsay: report of {name}\n")
    lines = [line for line in project.doit("validate").out.splitlines() if "not run" not in line]
    at = lines.index(".  validate:a")
    assert lines[at:] == [
        words for name in "abc" for words in (f".  validate:{name}", "waiting", f"report of {name}")
    ]  # fmt: skip
    assert "waiting" not in lines[:at]


def test_where_a_manifest_fails_the_worker_does_not_go_on(project):
    """The next experiment is checked all the same, and the failure told once."""
    project.write("a", "wrong: manifest\n")
    project.write("b")
    done = project.doit("validate")
    assert done.code == 1
    assert done.err.count("wrong value") == 1
    assert "validate a" not in project.executed()
    assert done.lines == [line for line in IN_ORDER if line != ".  validate:a"]


def test_a_mistake_that_shows_ahead_is_told_of_its_own_experiment(project):
    """With the others validated, and nothing run twice."""
    project.write("a", "wrong: validate\n")
    project.write("b")
    done = project.doit("validate")
    assert (done.code, done.lines) == (1, IN_ORDER)
    assert "configs/experiments/a.yaml" in done.err
    assert project.executed().count("validate a") == 1
    assert project.doit("validate").lines == [
        "-- resolve:a", "-- manifest:a", "-- resolve:b", "-- manifest:b", ".  validate:a", "-- validate:b",
    ]  # fmt: skip


def test_a_worker_that_dies_ahead_dies_again_in_its_turn(project):
    """There it is told of whom it died; what doit asked it for at the time runs in another worker."""
    project.write("a", "die: validate\n")
    project.write("b")
    done = project.doit("validate")
    assert (done.code, done.lines) == (1, IN_ORDER)
    assert "The process that ran `validate:a` was ended by SIGKILL." in done.err
    assert "manifest:b" not in done.err
    ran = project.executed()
    assert (ran.count("validate a"), ran.count("validate b")) == (2, 1)


def test_what_ran_before_waits_for_doit_to_find_it_stale(project):
    """Only of what never ran is it certain before its turn that it is due."""
    project.write("b")
    project.doit("validate")
    project.executed()
    for name in ("a", "b"):
        project.write(name, "lr: 2\n")
    assert project.doit("validate").code == 0
    ran = project.executed()
    assert ran.index("validate a") > ran.index("resolve b")


def test_nothing_that_was_not_asked_for_runs_ahead(project):
    """As where only the manifests are wanted."""
    project.write("b")
    assert project.doit("manifest").code == 0
    assert not any(line.startswith("validate") for line in project.executed())


def test_those_that_share_a_manifest_are_validated_without_waiting_for_doit(project):
    """Doit shares it by itself, and the worker goes from one to the next; what doit tells has its own order."""
    for name in "abc":
        project.write(name, "shared: yes\n")
    done = project.doit("validate")
    assert (done.code, done.err) == (0, "")
    assert done.lines == [f".  {stage}:{name}" for name in "abc" for stage in ("resolve", "manifest")] + [
        f".  validate:{name}" for name in "abc"
    ]
    pids = dict(line.rsplit(" ", 1) for line in project.taken())
    assert len(pids) == 9
    worker, doit = pids["manifest a"], pids["resolve a"]
    assert {pids[f"validate {name}"] for name in "abc"} == {worker} != {doit}
    assert (pids["manifest b"], pids["manifest c"]) == (doit, doit)


def test_what_fails_ahead_keeps_none_behind_it_from_being_validated(project):
    for name in "abc":
        project.write(name, f"shared: yes\n{'wrong: validate' if name == 'b' else ''}\n")
    done = project.doit("validate")
    assert (done.code, done.err.count("wrong value")) == (1, 1)
    assert [line.partition(" ")[2] for line in project.executed() if line.startswith("validate")] == ["a", "b", "c"]


def test_those_behind_one_of_which_the_worker_dies_are_validated_by_another(project):
    for name in "abcd":
        project.write(name, f"shared: yes\n{'die: validate' if name == 'b' else ''}\n")
    done = project.doit("validate")
    assert done.code == 1
    assert done.err.count("was ended by SIGKILL.") == 1
    assert "The process that ran `validate:b`" in done.err
    ran = project.executed()
    assert [ran.count(f"validate {name}") for name in "abcd"] == [1, 2, 1, 1]


def test_more_is_told_ahead_than_a_pipe_holds(project):
    names = [f"e{number:02}" for number in range(40)]
    for name in names:
        project.write(name, f"shared: yes\nsay: {name} {'long ' * 2000}\n")
    (project.root / "configs/experiments/a.yaml").unlink()
    done = project.doit("validate")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines() if " long " in line] == [
        name for name in names for _ in ("resolve", "manifest")
    ] + names


def test_doit_resolves_those_that_come_next_while_the_worker_makes_the_first_manifest(project):
    """What it then tells of them has its own order, and each is resolved once."""
    project.write("a", "wait: manifest\n")
    for name in "bc":
        project.write(name, "plugin: b.txt\n" if name == "b" else "wrong: resolve\n")
    (project.root / "b.txt").write_text("keys\n")
    running = project.start("validate")
    try:
        until(lambda: "resolve c" in logged(project))
        assert not any(line.startswith("validate") for line in logged(project))
    finally:
        (project.root / "go").touch()
        out, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert [line for line in out.splitlines() if line.startswith((".  ", "-- "))] == [
        f".  {stage}"
        for stage in ("resolve:a", "manifest:a", "resolve:b", "manifest:b", "resolve:c", "validate:a", "validate:b")
    ]
    assert err.count("while reading c") == 2  # of which one is found by a worker that examines it
    assert [logged(project).count(f"resolve {name}") for name in "abc"] == [1, 1, 1]


def test_one_that_was_resolved_before_waits_for_doit_to_look(project):
    project.write("b")
    project.doit("resolve", "EXP=b")
    project.executed()
    project.write("a", "wait: manifest\n")
    running = project.start("validate")
    until(lambda: "manifest a" in logged(project))
    (project.root / "go").touch()
    out, _ = running.communicate(timeout=60)
    assert "-- resolve:b" in out.splitlines()
    assert "resolve b" not in logged(project)


def logged(project):
    log = project.root / "log.txt"
    return [line.rpartition(" ")[0] for line in log.read_text().splitlines()] if log.exists() else []
