"""What is pinned: nothing that is known to be broken, and all of it in the bill of materials."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from audit import MENDED, known_faults, numbers, read_answers  # noqa: E402
from sbom import LOCKS, pins, sbom  # noqa: E402


def test_no_pin_has_a_fault_that_is_known_by_name():
    assert known_faults(pins()) == []
    assert {package for package, _, _ in MENDED} <= set(pins())


@pytest.mark.parametrize(
    "pin", ["torch==2.9.1", "pydicom==3.0.1", "simpleitk==2.5.1", "lightning==2.7", "pytorch-lightning==2.5"]
)
def test_a_pin_with_a_fault_known_by_name_is_found(pin):
    package, _, version = pin.partition("==")
    (fault,) = known_faults({**pins(), package: version})
    assert fault.startswith(f"{package} {version}")


@pytest.mark.parametrize(("package", "mended", "fault"), MENDED)
def test_the_declared_range_does_not_reach_below_it_either(package, mended, fault):
    if package == "simpleitk":
        mended = "2.5"  # the wheels of 2.5.2 onwards are pinned; its range is by minor version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (lowest,) = [match[1] for each in project["dependencies"] if (match := re.match(rf"{package}>=([\d.]+)", each))]
    assert numbers(lowest) >= numbers(mended), fault


def test_an_advisory_is_a_fault_and_a_package_without_an_answer_is_not_taken_for_sound():
    vulnerable = {"name": "torch", "version": "2.5.0", "vulns": [{"id": "PYSEC-2025-41", "fix_versions": ["2.6.0"]}]}
    sound = {"name": "numpy", "version": "2.4.6", "vulns": []}
    skipped = {"name": "tyro", "skip_reason": "Dependency not found on PyPI and could not be audited: tyro (1.0.17)"}
    found = read_answers([{"dependencies": [vulnerable, sound]}, {"dependencies": [skipped]}])
    assert (found.asked, found.silent) == (2, ["tyro"])
    (fault,) = found.faults
    assert "PYSEC-2025-41" in fault
    assert "2.6.0" in fault


def test_where_no_advisories_can_be_reached_the_audit_says_so_and_passes(tmp_path):
    nowhere = "http://127.0.0.1:9/simple"
    environment = {
        **os.environ,
        "PIP_INDEX_URL": nowhere,
        "PIP_EXTRA_INDEX_URL": nowhere,
        "PIP_CONFIG_FILE": os.devnull,
    }
    command = [sys.executable, ROOT / "tools" / "audit.py", tmp_path / "audit"]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "NOT ASKED" in ran.stdout


def test_ci_runs_the_audit():
    assert re.search(r"^make .*\baudit\b", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)


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
