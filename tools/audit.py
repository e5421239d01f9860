"""Pinned packages against known faults: those named here always, the published advisories where they can be asked.

`python tools/audit.py FOLDER`, or `make audit`. FOLDER is a virtual environment with pip-audit in it; it is made where
there is none. Exit code 1 where a pin has a known fault; a database that cannot be asked is said, and is no fault.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbom import LOCKS, ROOT, pins

PIP_AUDIT = "pip-audit==2.10.1"
_PATIENCE_S = 600

# Package, first version that is mended, the fault.
MENDED = (
    ("torch", "2.10", "CVE-2025-32434 and CVE-2026-24747: torch.load runs code of a file although told not to"),
    ("pydicom", "3.0.2", "a DICOMDIR may name files outside its folder"),
    ("simpleitk", "2.5.2", "reads beyond the end of malformed encapsulated pixels"),
)
# Package, the fault: no version is to be pinned, under any of the names that it is published by.
REFUSED = (
    ("lightning", "CVE-2026-44484: 2.6.2 and 2.6.3 were published with malicious code; CVE-2026-31221: it unpickles"),
)


@dataclass(frozen=True)
class Advisories:
    """What the published advisories say.

    Attributes:
        faults: one line a package and advisory.
        asked: packages that they were asked about.
        silent: packages that the database did not answer for.
    """

    faults: list[str]
    asked: int
    silent: list[str]


def numbers(version: str) -> tuple[int, ...]:
    """A version's first three numbers, to be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])


def known_faults(pinned: dict[str, str]) -> list[str]:
    """One line a pin that has a fault known by name.

    Args:
        pinned: package → version.
    """
    found = [
        f"{package} {pinned[package]}, mended in {mended}: {fault}"
        for package, mended, fault in MENDED
        if package in pinned and numbers(pinned[package]) < numbers(mended)
    ]
    for package, fault in REFUSED:
        names = (package, f"py{package}", f"pytorch-{package}")
        found += [f"{name} {pinned[name]}: {fault}" for name in names if name in pinned]
    return found


def advisories(folder: Path) -> Advisories | None:
    """What pip-audit finds; None where it cannot be installed or its database cannot be reached.

    Args:
        folder: of the virtual environment.
    """
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    quiet = ["--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "15"]
    install = [str(python), "-m", "pip", "install", *quiet, PIP_AUDIT]
    if _ran([sys.executable, "-m", "venv", str(folder)]) is None or _ran(install) is None:
        return None
    documents = [_ran([str(python), "-m", "pip_audit", *_options(lock)], codes=(0, 1)) for lock in LOCKS]
    if not all(documents):
        return None
    return read_answers([json.loads(document) for document in documents if document])


def read_answers(documents: list[dict[str, Any]]) -> Advisories:
    """pip-audit's JSON, one document a lock file."""
    answers = [answer for document in documents for answer in document["dependencies"]]
    silent = [str(answer["name"]) for answer in answers if "skip_reason" in answer]
    faults = [
        f"{answer['name']} {answer['version']}: {advisory['id']}, mended in {advisory['fix_versions'] or 'no version'}"
        for answer in answers
        for advisory in answer.get("vulns", ())
    ]
    return Advisories(faults, len(answers) - len(silent), silent)


def _options(lock: str) -> list[str]:
    shape = ["--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    return [*shape, "--no-deps", "--disable-pip", "--requirement", str(ROOT / lock)]


def _ran(command: list[str], codes: tuple[int, ...] = (0,)) -> str | None:
    """Standard output, or None where the command failed; what it said goes to the log."""
    try:
        ended = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as fault:
        sys.stderr.write(f"{fault}\n")
        return None
    if ended.returncode in codes:
        return ended.stdout
    sys.stderr.write(ended.stderr[-500:])
    return None


def say(line: str) -> None:
    """Write one line."""
    sys.stdout.write(line + "\n")


def main(folder: Path) -> int:
    """Say what was found; 1 where a pin has a known fault."""
    pinned = pins()
    faults = known_faults(pinned)
    say(f"{len(pinned)} pinned packages, {len(faults)} with a fault known by name (tools/audit.py).")
    answer = advisories(folder)
    if answer is None or not answer.asked:
        say("NOT ASKED: the database of advisories cannot be reached. Only faults known by name were looked for.")
    else:
        say(f"{answer.asked} packages asked of the advisories, {len(answer.faults)} faults.")
        if answer.silent:
            say(f"NOT ASKED, as the database does not know them: {', '.join(answer.silent)}.")
        faults += answer.faults
    for fault in faults:
        say(f"FAULT: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
