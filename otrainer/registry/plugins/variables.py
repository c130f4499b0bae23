"""Which environment variables count where the project's code reads them."""

from __future__ import annotations

from otrainer.config.credentials import credential_in
from otrainer.config.secrets import REFERRED_TO
from otrainer.storage import process_memory
from otrainer.storage.watch_reads import ReadTracker

# Where a run happens, and who started it, is not what it is.
PLACES = """
    PATH PYTHONPATH LD_LIBRARY_PATH HOME USER LOGNAME HOSTNAME PWD OLDPWD SHELL TERM
    COLUMNS LINES DISPLAY NO_COLOR TMPDIR TEMP TMP VIRTUAL_ENV CONDA_PREFIX CI
    RANK LOCAL_RANK NODE_RANK GROUP_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT
    CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES OMP_NUM_THREADS MKL_NUM_THREADS
"""
BEGINNINGS = "SLURM PBS_ LSB_ SGE_ OMPI_ PMI_ TORCHELASTIC_ KUBERNETES_ GITHUB_ XDG_ OTRAINER_"


class Tracker(ReadTracker):
    """Sees what the project's code reads and asks, but for variables that do not count."""

    def variable(self, name: str, value: str | None) -> None:
        if counts(name):
            super().variable(name, value)


def counts(name: str) -> bool:
    """Return whether another value of a variable may train something else; those of credentials are never kept."""
    secrets: frozenset[str] = process_memory.get(REFERRED_TO, frozenset)
    is_place = name in PLACES.split() or name.startswith(tuple(BEGINNINGS.split()))
    return not is_place and credential_in(name) is None and name not in secrets
