"""Fuzz one target with atheris: `python tests/fuzz/fuzz_one.py TARGET [libFuzzer options] [corpus folder]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

with atheris.instrument_imports(include=["simcrop_core", "nibabel"]):
    from fuzz_seeds import SEEDS, WORDS
    from fuzz_targets import TARGETS


def main() -> None:
    """Seeds and dictionary go to a temporary folder; what is found stays where libFuzzer is told to leave it."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"Give one of: {', '.join(TARGETS)}.")
    name, options = sys.argv[1], sys.argv[2:]
    seeds = Path(tempfile.mkdtemp(prefix=f"simcrop-fuzz-{name}-"))
    for number, seed in enumerate(SEEDS[name]):
        (seeds / f"seed-{number}").write_bytes(seed)
    words = seeds.with_suffix(".dict")
    words.write_text("".join(f'"{word}"\n' for word in WORDS[name]), encoding="utf-8")
    target = TARGETS[name]

    def one(data: bytes) -> None:
        target(data)

    atheris.Setup([sys.argv[0], f"-dict={words}", "-max_len=4096", *options, str(seeds)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
