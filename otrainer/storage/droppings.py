"""Files that a system, an editor or a notebook leaves in a folder of data: nobody's data, and gone again at any time.

Only what is known counts as such, and not all that is hidden: `.zarray` and the like are read by data sets.
"""

from __future__ import annotations

NAMES = frozenset(
    (
        *(".DS_Store", ".AppleDouble", ".Spotlight-V100", ".Trashes", ".fseventsd", ".localized"),  # macOS
        *("Thumbs.db", "ehthumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information"),  # Windows
        *(".directory", ".Trash", "lost+found", ".snapshot", ".snapshots"),  # file managers and systems
        *("__pycache__", ".ipynb_checkpoints", ".virtual_documents", ".pytest_cache", ".mypy_cache", ".ruff_cache"),
        *(".git", ".gitignore", ".gitkeep", ".gitattributes", ".gitmodules", ".keep", ".hg", ".svn", ".dvcignore"),
        *(".idea", ".vscode", ".vs"),
    )
)
# How others begin: what was deleted while it was open, what belongs to macOS, locks.
BEGINNINGS = (".nfs", ".fuse_hidden", ".goutputstream-", ".Trash-", "._", ".#", ".~lock.", "~$")
SWAP = tuple(f".sw{letter}" for letter in "mnopx")


def is_dropping(name: str) -> bool:
    """Return whether a file or folder of this name is no data, but left by a system, an editor or a notebook."""
    if name in NAMES or name.startswith(BEGINNINGS) or name.endswith("~"):
        return True
    return (name.startswith(".") and name.endswith(SWAP)) or (name.startswith("#") and name.endswith("#"))
