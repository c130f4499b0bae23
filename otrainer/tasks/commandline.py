"""Parse what was typed after `doit` by doit's own rules, before doit acts on it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from doit.cmd_base import DodoTaskLoader, DoitCmdBase  # type: ignore[import-untyped]  # doit ships no types
from doit.cmdparse import CmdOption, CmdParse, CmdParseError  # type: ignore[import-untyped]  # doit ships no types
from doit.doit_cmd import DoitMain  # type: ignore[import-untyped]  # doit ships no types

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TRAINING = ("train", "fit", "resume", "evaluate")  # or may come to one
COMMANDS = {command.get_name(): command for command in DoitMain.DOIT_CMDS}


class CommandLine(NamedTuple):
    """The command (`run` if none is named), the tasks as typed, the variables, and whether -a asks to run all again."""

    command: str
    tasks: tuple[str, ...]
    variables: dict[str, str]
    always: bool = False

    @property
    def trains(self) -> bool:
        """Whether any of the tasks is a training."""
        return not self.tasks or any(task.partition(":")[0] in TRAINING for task in self.tasks)

    @property
    def takes_tasks(self) -> bool:
        """Whether what follows the command are tasks; `doit help` takes other things too."""
        return issubclass(COMMANDS[self.command], DoitCmdBase) and self.command not in {"dumpdb", "tabcompletion"}

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> CommandLine:
        """Parse `arguments` as DoitMain.run does; options that doit will refuse leave no tasks."""
        try:
            rest = list(arguments)
            if not rest or rest[0] not in COMMANDS:
                with suppress(CmdParseError):
                    rest = parsed(DodoTaskLoader.cmd_options, rest)[1]
            variables: dict[str, str] = {}
            for name, _, value in (word.partition("=") for word in rest if is_variable(word)):
                # A variable given twice means both, as a list of experiments does with commas.
                variables[name] = f"{variables[name]},{value}" if name in variables else value
            words = [word for word in rest if not is_variable(word)]
            command = words.pop(0) if words and words[0] in COMMANDS else "run"
            given, tasks = parsed(options_of(COMMANDS[command]), words)
            return cls(command, tuple(tasks), variables, always=bool(given.get("always")))
        except CmdParseError:
            return cls("run", (), {})


def is_variable(word: str) -> bool:
    return "=" in word and not word.startswith("-")


def options_of(command: Any) -> Iterable[dict[str, Any]]:
    """Return the options that doit gives to `command`."""
    if not issubclass(command, DoitCmdBase):
        return tuple(command.cmd_options)
    return (*command.base_options, *DodoTaskLoader.cmd_options, *command.cmd_options)


def parsed(options: Iterable[dict[str, Any]], words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the options that are given and the words behind them; raise CmdParseError for unknown ones."""
    known = [CmdOption(option) for option in options]
    several: dict[str, Any] = {option.name: [] for option in known if option.type is list}
    found: tuple[dict[str, Any], list[str]] = CmdParse(known).parse_only(words, several)
    return found
