"""What the engine on this computer needs, what of it is missing, and the commands that bring it. No Qt, no download.

Torch comes through Slicer's PyTorch extension. Everything else goes into a folder of the engine's own, which only the
child process has on its path: no package of Slicer's is ever changed, and removing the engine deletes a folder.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from SimCroPSlicerLib.command import Command

TorchState = Literal["missing", "half installed", "too old", "ready"]
TORCH_AT_LEAST = (2, 10)
# Unpacked, without torch; with torch for a CPU, and with CUDA (measured on Linux).
ENGINE_MB, TORCH_CPU_MB, TORCH_CUDA_MB = 900, 800, 6000
_MARKER = "simcrop-engine.json"
_LONGEST_WINDOWS_PATH = 120


@dataclass(frozen=True)
class Package:
    """A pinned package, and which version of it is there, if any."""

    name: str
    wanted: str
    found: str | None

    @property
    def ready(self) -> bool:
        """Whether the wanted version is there."""
        return self.found == self.wanted


@dataclass(frozen=True)
class SetUp:
    """What is there and what is missing.

    Attributes:
        packages: all that the engine needs beside torch.
        torch: of Slicer's Python.
        torch_version: "" where it is missing.
        free_mb: on the disk of the engine's folder.
        folder: the engine's.
        other_version: the folder was made for this other engine or Python, or None.
        warnings: in the user's words.
    """

    packages: list[Package]
    torch: TorchState
    torch_version: str
    free_mb: int
    folder: Path
    other_version: str | None
    warnings: list[str]

    @property
    def missing(self) -> list[Package]:
        """Packages that have to be fetched."""
        return [package for package in self.packages if not package.ready]

    @property
    def ready(self) -> bool:
        """Whether the engine can be started."""
        return self.torch == "ready" and not self.missing and self.other_version is None


def engine_source(module_folder: Path) -> Path:
    """The folder that holds `simcrop_core`: beside the installed module, or above it in a clone.

    Args:
        module_folder: of SimCroPSlicer.py.

    Raises:
        FileNotFoundError: the module was copied without its engine.
    """
    for folder in (module_folder, module_folder.parent):
        if (folder / "simcrop_core" / "__init__.py").is_file():
            return folder
    raise FileNotFoundError(f"simcrop_core is neither in {module_folder} nor beside it")


def engine_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """The engine's own folder of packages: one for each Python version.

    Args:
        environment: SIMCROP_HOME overrides the platform's place for data.
        platform: as `sys.platform`.
    """
    name = f"slicer-engine-py{sys.version_info.major}{sys.version_info.minor}"
    if environment.get("SIMCROP_HOME"):
        return Path(environment["SIMCROP_HOME"]) / name
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "simcrop" / name


def wanted_packages(requirements: Path) -> dict[str, str]:
    """Package → version of a file of `name==version` lines; those marked as another system's are left out."""
    wanted = {}
    for line in requirements.read_text(encoding="utf-8").splitlines():
        pin, _, marker = line.partition("#")[0].partition(";")
        name, _, version = pin.strip().partition("==")
        if version and (not marker or f'"{sys.platform}"' in marker):
            wanted[name] = version
    return wanted


def look(requirements: Path, folder: Path, engine_version: str, python_path: list[str] | None = None) -> SetUp:
    """See what is there. Reads the disk, imports nothing.

    Args:
        requirements: the pinned packages.
        folder: the engine's.
        engine_version: that the panel belongs to.
        python_path: where torch is looked for; Slicer's own path where None.
    """
    installed = _installed(folder)
    packages = [
        Package(name, version, installed.get(_canonical(name)))
        for name, version in wanted_packages(requirements).items()
    ]
    torch, torch_version = torch_state(sys.path if python_path is None else python_path)
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free_mb = shutil.disk_usage(existing).free // 2**20
    return SetUp(
        packages, torch, torch_version, free_mb, folder, _other_version(folder, engine_version), _warnings(folder)
    )


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        return {}
    found = importlib.metadata.distributions(path=[str(folder)])
    return {_canonical(d.metadata["Name"]): d.version for d in found if d.metadata["Name"]}


def torch_state(python_path: list[str]) -> tuple[TorchState, str]:
    """Whether torch is whole: an interrupted install leaves a folder without version or metadata behind."""
    folders = [Path(place) / "torch" for place in python_path if (Path(place or ".") / "torch").is_dir()]
    versions = [
        d.version
        for d in importlib.metadata.distributions(path=python_path)
        if _canonical(d.metadata["Name"] or "") == "torch"
    ]
    if not folders and not versions:
        return "missing", ""
    whole = any((folder / "__init__.py").is_file() and (folder / "version.py").is_file() for folder in folders)
    if not whole or not versions:
        return "half installed", versions[0] if versions else ""
    numbers = tuple(int(n) for n in re.findall(r"\d+", versions[0])[:2])
    return ("ready" if numbers >= TORCH_AT_LEAST else "too old"), versions[0]


def _other_version(folder: Path, engine_version: str) -> str | None:
    marker = folder / _MARKER
    if not marker.is_file():
        return None
    try:
        made_for = str(json.loads(marker.read_text(encoding="utf-8"))["engine"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"
    return None if made_for == engine_version else made_for


def _warnings(folder: Path) -> list[str]:
    if sys.platform == "win32" and len(str(folder)) > _LONGEST_WINDOWS_PATH:
        return ["The folder's path is long; Windows may refuse files in it. Set SIMCROP_HOME to a short folder."]
    return []


def describe(setup: SetUp) -> str:
    """The set-up page's words: what is there, what is missing, how large it is."""
    words = {
        "ready": f"PyTorch {setup.torch_version}: ready.",
        "missing": f"PyTorch: missing (about {TORCH_CPU_MB} MB for a CPU, {TORCH_CUDA_MB} MB for a GPU).",
        "half installed": "PyTorch: an installation was interrupted; it has to be repeated.",
        "too old": f"PyTorch {setup.torch_version}: at least {'.'.join(map(str, TORCH_AT_LEAST))} is needed.",
    }
    lines = [words[setup.torch]]
    if setup.missing:
        names = ", ".join(f"{package.name} {package.wanted}" for package in setup.missing[:6])
        more = f" and {len(setup.missing) - 6} more" if len(setup.missing) > 6 else ""
        lines.append(f"{len(setup.missing)} package(s) missing, about {ENGINE_MB} MB: {names}{more}.")
    else:
        lines.append(f"All {len(setup.packages)} packages are there.")
    if setup.other_version is not None:
        lines.append(f"The folder was made for engine {setup.other_version}: it has to be set up again.")
    lines.append(f"Folder: {setup.folder} ({setup.free_mb} MB free).")
    return "\n".join([*lines, *setup.warnings])


def install_command(python: str, requirements: Path, folder: Path, wheels: str = "") -> Command:
    """The command that fetches every missing package beside the folder; `adopt` puts it in place when it is whole.

    Args:
        python: Slicer's.
        requirements: the pinned packages: pip looks for no others, so torch and Slicer's packages stay untouched.
        folder: the engine's.
        wheels: a folder of wheel files for sites without internet; "" for PyPI.
    """
    arguments = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-deps", "--upgrade"]
    arguments += ["--target", str(staging(folder)), "-r", str(requirements)]
    if wheels:
        arguments += ["--no-index", "--find-links", wheels]
    return Command(python, tuple(arguments))


def staging(folder: Path) -> Path:
    """Where packages are put until all of them are there."""
    return folder.with_name(folder.name + ".new")


def adopt(folder: Path, engine_version: str) -> None:
    """Put what was installed in the place of what was there before, and say for which engine it is."""
    new, old = staging(folder), folder.with_name(folder.name + ".old")
    (new / _MARKER).write_text(json.dumps({"engine": engine_version}), encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def uninstall(folder: Path) -> None:
    """Delete the engine's folder, and half-made ones beside it."""
    for place in (folder, staging(folder), folder.with_name(folder.name + ".old")):
        shutil.rmtree(place, ignore_errors=True)


def slicer_python() -> str:
    """Slicer's Python as a program; it is a launcher, so its pid is not the engine's."""
    return shutil.which("PythonSlicer") or sys.executable


def engine_command(python: str, source: Path, folder: Path, *, device: str, parent_pid: int) -> Command:
    """The command that starts the engine: its own folder on its path alone, port chosen by itself.

    Args:
        python: that runs it.
        source: folder of `simcrop_core`.
        folder: of the engine's packages.
        device: "auto", "cpu", "cuda" or "mps".
        parent_pid: it ends when that process does.
    """
    arguments = ["-m", "simcrop_core.cli", "serve", "--local", "--port", "0"]
    arguments += ["--device", device, "--parent-pid", str(parent_pid)]
    path = os.pathsep.join([str(source), *([str(folder)] if folder.is_dir() else [])])
    return Command(python, tuple(arguments), {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1"})
