"""Inputs that coverage leads to, by atheris: each is a config that resolves or fails with a place, soon, to the same bytes.

`python tests/campaigns/guided.py [--count N] [--seed S] [--keep FOLDER]` mutates the corpus of `tests/config` 100,000 times,
collects every input that breaks a law, prints one of each kind, and exits with 1 if there is any. `pip install atheris`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
LONGEST = 4_096  # bytes of an input
HANG = 20  # seconds after which libFuzzer ends the process, and with it the campaign
TOKENS = (
    "_merge_", "_value_", "_template_", "templates:", "defaults:", "[b.yaml]", "[c.yaml]", "replace", "append", "keyed", "key:", "${", "}", "${env:json:J}",
    "${env:int:J,1}", "${secret:X}", "$${", "${a}", "${a[0]}", "${a.b}", "&a ", "*a", "!!int ", "!!float ", "!!str ", "%TAG ", "%YAML 1.2", "---", "...", "? ", ": ",
    "- ", "|\n ", ">\n ", "\xff", "'", '"', "\\\\u", ".inf", ".nan", "1e9", "0x", "0o", "<<", "~", "{}", "[]", "a: ", "\n  ",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--fuzz", nargs=2, type=Path, help=argparse.SUPPRESS)
    given, rest = parser.parse_known_args()
    if given.fuzz:
        return fuzz(*given.fuzz, rest)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        seeds, found = folder / "seeds", given.keep or folder / "found"
        found.mkdir(parents=True, exist_ok=True)
        write_seeds(seeds)
        (folder / "tokens").write_text("".join(f'"{escaped(token)}"\n' for token in TOKENS))
        ended = subprocess.run(
            [sys.executable, __file__, "--fuzz", str(seeds), str(found), f"-runs={given.count}", f"-seed={given.seed}", f"-max_len={LONGEST}",
             f"-dict={folder / 'tokens'}", f"-timeout={HANG}", "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={found}/"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        return tell(found, ended, given.seed)


def write_seeds(folder: Path) -> None:
    """The corpus of files, the small ones among the cases that are made, and the configs that come with otrainer."""
    sys.path.insert(0, str(ROOT / "tests" / "config"))
    import bombs

    folder.mkdir()
    for number, path in enumerate([*sorted(bombs.CORPUS.glob("*.yaml")), *sorted((ROOT / "configs").rglob("*.yaml"))]):
        (folder / str(number)).write_bytes(path.read_bytes()[:LONGEST])
    for name, make in bombs.CASES.items():
        with tempfile.TemporaryDirectory() as made:
            before = Path.cwd()
            os.chdir(made)
            env = make(Path(made)) or {}
            os.chdir(before)
            files = [
                path
                for path in sorted(Path(made).glob("*.yaml"), key=lambda path: path.name != "exp.yaml")
                if path.is_file()
            ]
            pieces = [path.read_bytes()[:2_000] for path in files[:3] if path.stat().st_size < LONGEST]
            pieces += [b""] * (3 - len(pieces)) + [env["J"].encode("utf-8", "replace")[:500]] if "J" in env else []
            (folder / hashlib.sha256(name.encode()).hexdigest()[:16]).write_bytes(b"\xff".join(pieces))


def escaped(token: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token.encode("latin-1"))


def fuzz(seeds: Path, found: Path, options: list[str]) -> int:
    """The process that libFuzzer runs in; it ends this process itself."""
    import atheris

    with atheris.instrument_imports(include=["otrainer.config", "yaml"]):
        import configs
        import otrainer.config.resolve  # noqa: F401 - and with it all that is to be covered
    became: Counter[str] = Counter()
    kinds: Counter[str] = Counter()

    def one_input(content: bytes) -> None:
        try:
            became[configs.judge_files(*configs.parts(content))] += 1
        except BaseException as error:
            kind = f"{type(error).__name__} in {traceback.extract_tb(error.__traceback__)[-1].name}: {str(error)[:80]}"
            kinds[kind] += 1
            if kinds[kind] == 1:
                (found / f"{len(kinds):03}").write_bytes(content)
                (found / f"{len(kinds):03}.txt").write_text(traceback.format_exc(), errors="replace")
        if (became.total() + kinds.total()) % 500 == 0:
            (found / "tally.json").write_text(json.dumps([became.most_common(), kinds.most_common()]))

    found = found.resolve()
    os.chdir(seeds.parent)  # which is removed by whoever waits for this process
    (found / "tally.json").write_text("[[], []]")
    atheris.Setup([sys.argv[0], *options, str(seeds)], one_input)
    atheris.Fuzz()
    return 0


def tell(found: Path, ended: subprocess.CompletedProcess[str], seed: int) -> int:
    became, kinds = json.loads((found / "tally.json").read_text())
    cover = [line for line in ended.stderr.splitlines() if " cov: " in line][-1:] or ended.stderr.splitlines()[-5:]
    print(
        f"seed {seed}: {sum(times for _, times in [*became, *kinds])} inputs, {len(kinds)} kinds of lawless ones; it ended with {ended.returncode}"
    )
    print(*cover, sep="\n")
    for title, times in became:
        print(f"{times:7} {title}")
    for kind, times in kinds:
        print(f"{times:7} LAWLESS {kind}")
    return int(bool(kinds) or ended.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
