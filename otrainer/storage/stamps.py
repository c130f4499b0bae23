"""A file's content as it was read, and the facts by which it is known again without a look inside.

Facts are named tuples: this is imported to find that nothing has to be done, and a dataclass takes longer to make.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from otrainer.storage.regular import PIECE, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed import StrPath

# Size, mtime_ns, ctime_ns and inode.
Facts = tuple[int, int, int, int]
SECOND_NS = 1_000_000_000
# A clock tick of common file systems and then some: a file written again within it may keep its times.
TICK_NS = 20_000_000
# The same where times are whole seconds; FAT has them in steps of two.
COARSE_TICK_NS = 2 * SECOND_NS
# Files up to this size are read however they look: not every file system tells of each change.
SMALL = 16_384
# Some file systems number their files anew each time that they are mounted.
NO_INODE = 0


class FileStamp(NamedTuple):
    """A file's content as it was read, with the facts that stay the same for as long as nobody writes to it.

    `young_ns` is 0, or the time of the look where the file was so young that an edit right after it might show in no
    fact: it is read again then. A stamp of a folder covers all data below it: `size` is their sum, the facts are
    hashes of all their names and facts.
    """

    sha256: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    young_ns: int = 0

    @classmethod
    def of(cls, path: StrPath) -> FileStamp:
        """Stamp `path` as it is now. Raises OSError where it cannot be read."""
        with open_regular(path) as stream:
            # Taken before the content: an edit made while this reads leaves newer times behind.
            status, now = os.fstat(stream.fileno()), time.time_ns()
            content = hashlib.sha256(stream.read(SMALL) or b"")
            while piece := stream.read(PIECE):
                content.update(piece)
            return cls.seen(content.hexdigest(), status, now)

    @classmethod
    def seen(cls, sha256: str, status: os.stat_result, now_ns: int) -> FileStamp:
        """Return the stamp of a content that was read after `status` had been taken, at `now_ns`."""
        return cls(sha256, *facts(status), now_ns if is_young(status, now_ns) else 0)

    def tells(self, status: os.stat_result) -> bool:
        """Return whether a file with this `status` holds this content for certain."""
        return not self.young_ns and self.has_facts(facts(status))

    def has_facts(self, found: Facts) -> bool:
        return self[1:4] == found[:3] and self.inode in (NO_INODE, found[3])

    def again(
        self, path: StrPath, *, trusted: bool = False, read: dict[str, FileStamp] | None = None
    ) -> FileStamp | None:
        """Stamp `path` anew if it still holds this content; this very stamp where nothing is new about it.

        A small file is read in any case, unless it is `trusted`, or this look has `read` it when it was old enough.
        Raises OSError where it cannot be read.
        """
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):  # which is looked into by who remembers its files one by one
            return self if not self.young_ns and self.has_facts(folder_facts(facts_below(path))) else None
        if not stat.S_ISREG(status.st_mode) or status.st_size != self.size:
            return None
        told = self.tells(status)
        if told and (trusted or self.size > SMALL):
            return self
        now = None if read is None else read.get(os.fspath(path))
        if now is None or not now.tells(status):
            now = FileStamp.of(path)
            if read is not None:
                read[os.fspath(path)] = now
        if now.sha256 != self.sha256:
            return None
        return self if told and self.has_facts(now[1:5]) else now.after(self)

    def after(self, earlier: FileStamp) -> FileStamp:
        """Return this stamp as what an `earlier` look adds lets it be.

        A file that was there with the same times a while ago is not young, whatever its times and the clock say.
        One that has another number under the same times, and the same content, lies where numbers tell nothing.
        """
        if self[:4] != earlier[:4]:
            return self
        inode = self.inode if self.inode == earlier.inode else NO_INODE
        waited = self.young_ns - earlier.young_ns > tick_of(self.mtime_ns, self.ctime_ns)
        return self._replace(inode=inode, young_ns=0 if waited else self.young_ns)


def facts(status: os.stat_result) -> Facts:
    """Return what tells one state of a file from another one without a look inside."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def is_young(status: os.stat_result, now_ns: int) -> bool:
    """Return whether a write after `now_ns` might leave a file's times as they are; so too where they lie ahead."""
    times = status.st_mtime_ns, status.st_ctime_ns
    return now_ns - max(times) <= tick_of(*times)


def tick_of(mtime_ns: int, ctime_ns: int) -> int:
    """Return the longest time in which a file may be written twice under these times."""
    return TICK_NS if max(mtime_ns, ctime_ns) % SECOND_NS else COARSE_TICK_NS


def folder_files(folder: StrPath) -> list[str]:
    """List every file of data below `folder`, sorted; links are followed, each folder once on a way down."""
    from otrainer.storage.droppings import is_dropping  # most projects declare no folder

    found: list[str] = []
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(folder),))]
    while waiting:
        inside, above = waiting.pop()
        with os.scandir(Path(folder, inside)) as entries:
            for entry in entries:
                name = f"{inside}/{entry.name}" if inside else entry.name
                if is_dropping(entry.name):
                    continue
                if not entry.is_dir():
                    found.append(name)
                elif (real := os.path.realpath(entry.path)) not in above:
                    waiting.append((name, (*above, real)))
    return sorted(found)


def facts_below(folder: StrPath) -> Iterator[tuple[str, Facts]]:
    """Yield every file below `folder` with its facts as they are now, in the order of names."""
    return ((name, facts(Path(folder, name).stat())) for name in folder_files(folder))


def folder_facts(files: Iterable[tuple[str, Facts]]) -> Facts:
    """Return the facts of a folder from those of all files below it."""
    total, (mtimes, ctimes, inodes) = 0, tuple(hashlib.sha256() for _ in range(3))
    has_inodes = True
    for name, (size, mtime_ns, ctime_ns, inode) in files:
        total += size
        has_inodes = has_inodes and inode != NO_INODE
        for listing, fact in ((mtimes, mtime_ns), (ctimes, ctime_ns), (inodes, inode)):
            listing.update(f"{name}\0{size} {fact}\0".encode("utf-8", "surrogateescape"))
    return total, short(mtimes), short(ctimes), short(inodes) if has_inodes else NO_INODE


def short(listing: hashlib._Hash) -> int:
    return int.from_bytes(listing.digest()[:6])
