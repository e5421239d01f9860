"""What is pinned: nothing that is known to be broken, and all of it in the bill of materials."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from sbom import LOCKS, pins, sbom  # noqa: E402

# Package, first version that is mended, the fault.
MENDED = [
    ("torch", "2.10", "CVE-2025-32434 and CVE-2026-24747: torch.load runs code of a file although told not to"),
    ("pydicom", "3.0.2", "a DICOMDIR may name files outside its folder"),
    ("simpleitk", "2.5.2", "reads beyond the end of malformed encapsulated pixels"),
]
# Package, version, the fault: never to be installed.
MALICIOUS = [("lightning", ("2.6.2", "2.6.3"), "CVE-2026-44484: published with malicious code")]


def numbers(version):
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])


@pytest.mark.parametrize(("package", "mended", "fault"), MENDED)
def test_no_pin_is_older_than_the_version_that_mends_a_known_fault(package, mended, fault):
    assert numbers(pins()[package]) >= numbers(mended), fault


@pytest.mark.parametrize(("package", "mended", "fault"), MENDED)
def test_the_declared_range_does_not_reach_below_it_either(package, mended, fault):
    if package == "simpleitk":
        mended = "2.5"  # the wheels of 2.5.2 onwards are pinned; its range is by minor version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (lowest,) = [match[1] for each in project["dependencies"] if (match := re.match(rf"{package}>=([\d.]+)", each))]
    assert numbers(lowest) >= numbers(mended), fault


@pytest.mark.parametrize(("package", "versions", "fault"), MALICIOUS)
def test_no_version_that_was_published_with_malicious_code_is_pinned(package, versions, fault):
    for name in (package, f"py{package}", f"pytorch-{package}"):
        assert pins().get(name) not in versions, fault


def test_pickles_are_opened_in_one_place_only_and_there_with_care():
    """Weights are safetensors; the importer's child process opens foreign checkpoints (docs/weights.md)."""
    loading = re.compile(r"\btorch\.(?:load|jit\.load|export\.load)\([^)]*\)|\bpickle\.loads?\([^)]*\)")
    sources = [*(ROOT / "simcrop_core").rglob("*.py"), *(ROOT / "SimCroPSlicer").rglob("*.py")]
    found = {path.name: loading.findall(path.read_text(encoding="utf-8")) for path in sources}
    ((name, calls),) = [(name, calls) for name, calls in found.items() if calls]
    assert name == "pickle_reader.py"
    assert all("weights_only=True" in call for call in calls)


def test_the_bill_of_materials_names_every_pinned_package():
    made = subprocess.run(
        [sys.executable, ROOT / "tools" / "sbom.py"], capture_output=True, encoding="utf-8", check=True
    )
    listed = set(re.findall(r'"purl": "pkg:pypi/([^"]+)"', made.stdout))
    pinned = set()
    for lock in LOCKS:
        for line in (ROOT / lock).read_text(encoding="utf-8").splitlines():
            if line and line[0].isalnum():
                name, _, version = line.partition("==")
                pinned.add(f"{name.lower().replace('_', '-').replace('.', '-')}@{version.split()[0]}")
    assert listed == pinned
    assert len(listed) > 80
    document = sbom()
    assert document["bomFormat"] == "CycloneDX"
    assert len(document["dependencies"][0]["dependsOn"]) == len(document["components"]) == len(listed)
