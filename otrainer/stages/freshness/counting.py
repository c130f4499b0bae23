"""Tell which differences between the configs of two runs count, and which retrain nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otrainer.registry.effects import CHECKED_BEFORE, as_counted, uncounted
from otrainer.stages.freshness.values import ABSENT, Change, Keys, changes, sentence, text_of

if TYPE_CHECKING:
    from otrainer.config.source_map import SourceMap
    from otrainer.errors import ConfigPath

Config = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]
MOST = 3


class Compared:
    """Two configs, each with the rows of its code as far as they are known."""

    def __init__(self, old: Config, new: Config, old_rows: Rows = (), new_rows: Rows = ()) -> None:
        self.old, self.new = old, new
        self._without_old, self._without_new = uncounted(old, old_rows), uncounted(new, new_rows)

    def counting(self) -> list[Change]:
        """Return the differences that make another definition."""
        return [change for change in self._changes() if self.counts(change)]

    def idle(self) -> list[Change]:
        """Return the differences in what does not count; a path into the run's folder is told with that folder."""
        return [change for change in self._changes() if self.forms(change) == (None, None)]

    def _changes(self) -> Iterator[Change]:
        old, new = ({name: each[name] for name in each if name not in CHECKED_BEFORE} for each in (self.old, self.new))
        return changes(old, new)

    def counts(self, change: Change) -> bool:
        old, new = self.forms(change)
        return old != new

    def forms(self, change: Change) -> tuple[str | None, str | None]:
        old = form_of(change.old, change.old_path, self.old, self._without_old)
        return old, form_of(change.new, change.new_path, self.new, self._without_new)

    def same_in(self, sections: Sequence[str]) -> bool:
        """Return whether no difference in these sections counts."""
        return not any(change.new_path[0] in sections for change in self.counting())


def form_of(value: Any, path: ConfigPath, config: Config, without: set[ConfigPath]) -> str | None:
    """Return a value in the form in which it counts; None where it does not, or is not there."""
    if value is ABSENT or any(path[:length] in without for length in range(1, len(path) + 1)):
        return None
    if isinstance(value, Keys):
        return text_of([key for key in value if (*path, key) not in without])
    return text_of(as_counted(config, without, value, path))


def idle_sentences(idle: Sequence[Change], places: SourceMap | None, old_places: SourceMap | None) -> Iterator[str]:
    """Yield a sentence for each value that differs and does not count; of very many the rest is counted."""
    for change in idle[:MOST]:
        yield f"{sentence(change, places, old_places).removesuffix('.')}, which does not retrain."
    if len(idle) > MOST:
        yield f"Other values differ as well, which do not retrain: {len(idle) - MOST} more."
