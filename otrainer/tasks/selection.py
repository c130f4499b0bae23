"""Select the experiments that a command line means, or the text to print where it means none."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from otrainer.errors import ConfigError, Finding, nearest
from otrainer.storage.experiments import Experiment, all_experiments, find_experiment, listed, sentence
from otrainer.tasks.elsewhere import experiment_before_doit, option_behind, unknown_variables
from otrainer.tasks.splits import evaluation_mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from otrainer.tasks.commandline import CommandLine

VARIABLES = ("EXP", "WITH", "MODEL", "YES", "FORMAT", "SPLIT", "CHECKPOINT", "PREDICTIONS", "KEY")
CHECKED = "validate"
# What each verb prints besides text for people.
FORMATS = {CHECKED: ("json", "sarif"), "audit": ("json",), "explain": ("json", "markdown", "text")}
# What a verb does where no experiment is named; verbs that are not here need none.
EVERY = ("resolve", "manifest", "validate", "schema")
NAMED = ("train", "fit")
QUERIES = ("why", "show", "explain", "diff", "audit", "runs", "prune")
EVALUATE = "evaluate"
ABOUT_ONE = ("why", "show", "diff", "audit", EVALUATE, "verify-resume")
ABOUT_ALL = "schema"
LAST = "resume"
ONE_OR_LAST = (*NAMED, *ABOUT_ONE, LAST)


class Selection(NamedTuple):
    """The experiments whose tasks are created, or what to print instead of doing anything."""

    experiments: tuple[Experiment, ...] = ()
    message: str = ""


def select(line: CommandLine, verbs: Mapping[str, str], root: Path) -> Selection:
    """Return the experiments that `line` names; `verbs` are the tasks there are, each with its sentence.

    Raises ConfigError with every unknown variable, experiment and task.
    """
    if not line.takes_tasks:
        return Selection()
    findings = [
        *unknown_variables(line, VARIABLES, root),
        *unknown_tasks(line, verbs, root),
        *format_mistakes(line),
        *narrowed(line),
    ]
    by_variable = keep(exp_variable(line, root), findings)
    by_task = keep(named_by_tasks(line, verbs, root), findings)
    findings += evaluation_mistakes(line, [*by_variable, *by_task], root)
    findings += mixed(line, by_variable, by_task)
    if findings:
        raise ConfigError.of(findings)
    experiments = tuple(dict.fromkeys([*by_variable, *by_task]))
    return Selection(experiments) if experiments or line.command != "run" else unnamed(line, verbs, root)


def keep(found: Iterator[Experiment | Finding], findings: list[Finding]) -> list[Experiment]:
    """Return the experiments among `found`; append the findings to `findings`."""
    experiments = []
    for each in found:
        if isinstance(each, Finding):
            findings.append(each)
        else:
            experiments.append(each)
    return experiments


def wanted_format(line: CommandLine) -> str | None:
    """Return the format in which a line asks for the findings of validation; None if it asks for none, or wrongly."""
    asked = "FORMAT" in line.variables and only_verb(line) == CHECKED and not list(format_mistakes(line))
    return line.variables["FORMAT"] if asked else None


def only_checks(line: CommandLine) -> bool:
    """Tell whether a line asks for nothing that may come to a training."""
    return line.command == "run" and bool(line.tasks) and {task.partition(":")[0] for task in line.tasks} <= {*EVERY}


def only_verb(line: CommandLine) -> str | None:
    """Return the one verb that a line asks for; None if there are others, or none."""
    verbs = {task.partition(":")[0] for task in line.tasks} if line.command == "run" else set()
    return verbs.pop() if len(verbs) == 1 else None


def format_mistakes(line: CommandLine) -> Iterator[Finding]:
    value, verb = line.variables.get("FORMAT"), only_verb(line)
    if value is None or value in FORMATS.get(verb or "", ()):
        return
    places = [each for each, forms in FORMATS.items() if value in forms]
    if not places:
        forms = FORMATS.get(verb or "", FORMATS[CHECKED])
        near, hint = nearest(value, forms), f"Write {' or '.join(f'`FORMAT={name}`' for name in forms)}."
        yield Finding(f"Nothing is printed as `{value}`.", "unknown format", suggestions=near, hint=hint)
    else:
        *others, last = [f"`doit {each}`" for each in places]
        named = f"{', '.join(others)} and {last}" if others else last
        hint = f"Write `doit {places[0]} FORMAT={value}`, with `EXP=NAME` for one experiment."
        yield Finding(f"`FORMAT={value}` belongs to {named} alone.", "misplaced variable", hint=hint)


def unknown_tasks(line: CommandLine, verbs: Mapping[str, str], root: Path) -> Iterator[Finding]:
    for task in line.tasks:
        verb, colon, rest = task.partition(":")
        if task.startswith("-"):
            yield option_behind(task, line, root)
            return
        if verb not in verbs:
            near = tuple(f"{match}{colon}{rest}" for match in nearest(verb, verbs))
            hint = f"There are: {', '.join(verbs)} (each with EXP=NAME, or as `train:NAME`)."
            if task in [experiment.name for experiment in all_experiments(root)]:
                hint = f"`{task}` is an experiment: write `doit {verb_of(line, verbs)} EXP={task}`."
            elif task in VARIABLES:
                near, hint = (), f"`{task}` takes a value: write `{task}=...`, without blanks."
            elif line.tasks[0] == "explain":
                near, hint = (), f"If it is what shall be explained, write `doit explain KEY={task}`."
            yield Finding(f"There is no task `{task}`.", "unknown task", suggestions=near, hint=hint)


def verb_of(line: CommandLine, verbs: Mapping[str, str]) -> str:
    """Return the first verb on a line, or the one that it most likely lacks."""
    return next((task for task in line.tasks if task in verbs), "train")


def exp_variable(line: CommandLine, root: Path) -> Iterator[Experiment | Finding]:
    """Yield what EXP names: one experiment, or several with commas between them."""
    if "EXP" not in line.variables:
        return
    text = line.variables["EXP"]
    if not text.strip():
        names = [experiment.name for experiment in all_experiments(root)]
        yield Finding("`EXP=` names no experiment.", title="unknown experiment", hint=listed(names))
        return
    whole = list(lookup(text, root))
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) < 2 or isinstance(whole[0], Experiment):
        yield from whole
        return
    for part in parts:
        yield from lookup(part, root)


def named_by_tasks(line: CommandLine, verbs: Mapping[str, str], root: Path) -> Iterator[Experiment | Finding]:
    """Yield the experiments of tasks such as `train:baseline` or `validate:sgd*`."""
    for task in line.tasks:
        verb, colon, name = task.partition(":")
        if verb not in verbs or not colon or verb == ABOUT_ALL:
            continue
        if verb in QUERIES:
            yield Finding(f"There is no task `{task}`.", "unknown task", hint=f"Write `doit {verb} EXP={name}`.")
            continue
        matches = [each for each in all_experiments(root) if fnmatchcase(each.task_name, name)] if "*" in name else []
        if matches:
            yield from matches
        else:
            yield from lookup(name.replace("%3D", "=").replace("%2A", "*"), root, verb=verb)


def lookup(text: str, root: Path, verb: str = "") -> Iterator[Experiment | Finding]:
    try:
        experiment = find_experiment(text, root)
    except ConfigError as error:
        yield from error.findings
        return
    if verb and experiment.name != text:
        near, hint = (f"{verb}:{experiment.task_name}",), f"With EXP=, paths work too: `doit {verb} EXP={text}`."
        yield Finding(f"There is no task `{verb}:{text}`.", "unknown task", suggestions=near, hint=hint)
    else:
        yield experiment


def mixed(line: CommandLine, by_variable: list[Experiment], by_task: list[Experiment]) -> Iterator[Finding]:
    """Refuse a bare verb beside a task that names an experiment: doit would run the verb for that one too."""
    bare = [task for task in line.tasks if ":" not in task and task != ABOUT_ALL]
    strangers = [each.name for each in by_task if each not in by_variable]
    if bare and strangers and line.command == "run":
        names = ", ".join(f"`{name}`" for name in strangers)
        hint = "Give every task its experiment, as in `validate:a train:b`, or call doit twice."
        yield Finding(f"`{bare[0]}` would also take {names}, named by another task.", "ambiguous tasks", hint=hint)


def narrowed(line: CommandLine) -> Iterator[Finding]:
    """Refuse to narrow a task that is about all experiments."""
    about_all = any(task.partition(":")[0] == ABOUT_ALL for task in line.tasks)
    if about_all and ("EXP" in line.variables or any(":" in task for task in line.tasks)):
        message = f"`{ABOUT_ALL}` is about all experiments together: no single one can be named."
        yield Finding(message, title="not about one experiment", hint=f"Write `doit {ABOUT_ALL}`.")


def unnamed(line: CommandLine, verbs: Mapping[str, str], root: Path) -> Selection:
    """Return what a line without any experiment means."""
    wanted = line.tasks or ("train",)
    if findings := list(experiment_before_doit(line)) if not set(wanted).isdisjoint(ONE_OR_LAST) else []:
        raise ConfigError.of(findings)
    if any(verb in wanted for verb in NAMED):
        return Selection(message=overview(verbs, root))
    for verb in ABOUT_ONE:
        if verb in wanted:
            return Selection(message=which_one(verb, root))
    if LAST in wanted:
        from otrainer.tasks.last_run import interrupted_last

        meant = interrupted_last(root)
        return Selection(message=meant) if isinstance(meant, str) else Selection((meant,))
    if any(verb in wanted for verb in EVERY):
        everything = tuple(all_experiments(root))
        return Selection(everything, "" if everything else listed([]))
    return Selection()


def chained(experiments: Sequence[Experiment], line: CommandLine, root: Path) -> Mapping[Experiment, Experiment]:
    """Return which of the experiments that `line` trains begins from the run of which other one."""
    wanted = [task.partition(":") for task in line.tasks or ("train",)]
    names = [rest or "*" for verb, _, rest in wanted if verb in (*NAMED, EVALUATE)]
    trained = [
        each
        for each in experiments
        if any(each.task_name == name or fnmatchcase(each.task_name, name) for name in names)
    ]
    if line.command != "run" or len(trained) < 2:
        return {}
    from otrainer.stages.freshness.chain import chains

    return chains(trained, root)


def which_one(verb: str, root: Path) -> str:
    """Return what to type to ask about an experiment, and the list of them."""
    experiments = all_experiments(root)
    if not experiments:
        return listed([])
    first, other = experiments[0].name, experiments[-1].name
    line = f"  doit {verb} EXP={first}{f' WITH={other}' if verb == 'diff' else ''}"
    rows = table({each.name: sentence(each, root) for each in experiments})
    return "\n".join([f"`doit {verb}` is about an experiment:", "", line, "", "Experiments:", *rows])


def overview(verbs: Mapping[str, str], root: Path) -> str:
    """Return the overview: an example, the tasks and the experiments, each in a sentence."""
    experiments = all_experiments(root)
    lines = ["Nothing is trained until an experiment is named:", ""]
    if not experiments:
        return "\n".join([*lines, "  doit train EXP=NAME", "", listed([])])
    lines += [f"  doit train EXP={experiments[0].name}", "", "Tasks:", *table(verbs), "", "Experiments:"]
    return "\n".join([*lines, *table({each.name: sentence(each, root) for each in experiments})])


def table(rows: Mapping[str, str]) -> Iterator[str]:
    width = max(map(len, rows))
    for name, text in rows.items():
        yield f"  {name:<{width}}  {text}".rstrip()
