"""What the engine on this computer needs, what of it is missing, and the commands that bring it. No Qt, no download.

Torch comes through Slicer's PyTorch extension. Everything else goes into a folder of the engine's own, which only the
child process has on its path: no package of Slicer's is ever changed, and removing the engine deletes a folder.
"""

from __future__ import annotations

import errno
import json
import os
import platform as machine
import re
import shutil
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
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
NVIDIA, APPLE = "NVIDIA", "Apple"


@dataclass(frozen=True)
class Package:
    """A pinned package, and which version of it the engine would find, if any."""

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
        torch: that the engine would find, in its own folder or in Slicer's Python.
        torch_version: "" where it is missing.
        slicers_torch: that of Slicer's Python, which stays when the engine's folder is replaced.
        gpu: what could compute beside the processor; "" where nothing was found.
        free_mb: on the disk of the engine's folder.
        folder: the engine's.
        other_version: the folder was made for this other engine or Python, or None.
    """

    packages: list[Package]
    torch: TorchState
    torch_version: str
    slicers_torch: TorchState
    gpu: str
    free_mb: int
    folder: Path
    other_version: str | None

    @property
    def missing(self) -> list[Package]:
        """Packages that have to be fetched."""
        return [package for package in self.packages if not package.ready]

    @property
    def ready(self) -> bool:
        """Whether nothing is left to fetch."""
        return self.torch == "ready" and not self.missing and self.other_version is None

    @property
    def can_start(self) -> bool:
        """Whether the engine can be started: a package of another version may do, one that is nowhere does not."""
        absent = any(package.found is None for package in self.packages)
        return self.torch == "ready" and not absent and self.other_version is None

    @property
    def needed_mb(self) -> int:
        """Room that the set-up takes."""
        torch_mb = 0 if self.torch == "ready" else TORCH_CUDA_MB if self.gpu == NVIDIA else TORCH_CPU_MB
        # The packages are put beside the folder first, whole; what was there goes afterwards.
        return torch_mb + (ENGINE_MB if self.missing or self.other_version is not None else 0)

    @property
    def fits(self) -> bool:
        """Whether the disk has the room."""
        return self.free_mb > self.needed_mb

    @property
    def path_is_long(self) -> bool:
        """Whether Windows may refuse files in the folder."""
        return sys.platform == "win32" and len(str(self.folder)) > _LONGEST_WINDOWS_PATH

    @property
    def gpu_is_wasted(self) -> bool:
        """Whether this torch cannot use the GPU that is there."""
        return self.gpu == NVIDIA and self.torch_version.endswith("+cpu")


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
    """See what is there. Reads names on the disk, some milliseconds; imports nothing.

    Args:
        requirements: the pinned packages.
        folder: the engine's.
        engine_version: that the panel belongs to.
        python_path: of Slicer's Python, which the engine has behind its own folder; this Python's where None.
    """
    places = sys.path if python_path is None else python_path
    # What comes first on the engine's path is what it imports.
    installed = _installed([*reversed(places), str(folder)])
    packages = [
        Package(name, version, installed.get(_canonical(name)))
        for name, version in wanted_packages(requirements).items()
    ]
    torch, torch_version = torch_state([str(folder), *places])
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return SetUp(
        packages,
        torch,
        torch_version,
        torch_state(places)[0],
        gpu_here(),
        shutil.disk_usage(existing).free // 2**20,
        folder,
        _other_version(folder, engine_version),
    )


def gpu_here(which: Callable[[str], str | None] = shutil.which) -> str:
    """Which kind of GPU there is: by its driver, without asking torch, which may not be there."""
    if sys.platform == "darwin":
        return APPLE if machine.machine() == "arm64" else ""
    return NVIDIA if which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists() else ""


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(places: Sequence[str]) -> dict[str, str]:
    """Package → version by the names of their folders; later places count. One without metadata is not installed."""
    found = {}
    for place in places:
        try:
            folders = [entry for entry in Path(place or ".").iterdir() if entry.name.endswith(".dist-info")]
        except OSError:
            # Paths may hold archives, and folders that are not there.
            continue
        for folder in folders:
            if (folder / "METADATA").is_file():
                package, _, version = folder.name.removesuffix(".dist-info").partition("-")
                found[_canonical(package)] = version
    return found


def torch_state(python_path: list[str]) -> tuple[TorchState, str]:
    """Whether torch is whole: an interrupted install leaves a folder without version or metadata behind."""
    folders = [Path(place) / "torch" for place in python_path if (Path(place or ".") / "torch").is_dir()]
    version = _installed(list(reversed(python_path))).get("torch", "")
    if not folders and not version:
        return "missing", ""
    whole = any((folder / "__init__.py").is_file() and (folder / "version.py").is_file() for folder in folders)
    if not whole or not version:
        return "half installed", version
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    return ("ready" if numbers >= TORCH_AT_LEAST else "too old"), version


def _other_version(folder: Path, engine_version: str) -> str | None:
    marker = folder / _MARKER
    if not marker.is_file():
        return None
    try:
        made_for = str(json.loads(marker.read_text(encoding="utf-8"))["engine"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"
    return None if made_for == engine_version else made_for


def lacking_wheels(requirements: Path, wheels: Path) -> list[str]:
    """Pinned packages of which a folder holds no file: "name version" each."""
    there = {_canonical("-".join(file.name.split("-")[:2])) for file in wheels.glob("*.whl")}
    wanted = wanted_packages(requirements).items()
    return [f"{name} {version}" for name, version in wanted if _canonical(f"{name}-{version}") not in there]


def brings_torch(wheels: Path) -> bool:
    """Whether a folder of wheel files holds torch."""
    return any(wheels.glob("torch-*.whl"))


def install_command(python: str, requirements: Path, folder: Path, wheels: str = "", *, torch: bool = False) -> Command:
    """The command that fetches every missing package beside the folder; `adopt` puts it in place when it is whole.

    Args:
        python: Slicer's.
        requirements: the pinned packages: pip looks for no others, so torch and Slicer's packages stay untouched.
        folder: the engine's.
        wheels: a folder of wheel files for sites without internet; "" for PyPI.
        torch: the wheels bring torch and what it needs, which then go into the engine's folder too.
    """
    arguments = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--upgrade"]
    arguments += ["--target", str(staging(folder)), "-r", str(requirements)]
    arguments.append(f"torch>={'.'.join(map(str, TORCH_AT_LEAST))}" if torch else "--no-deps")
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


def uninstalled(folder: Path) -> Generator[None, None, list[OSError]]:
    """Delete the engine's folder, and half-made ones beside it, a file a step; returns what could not be deleted."""
    faults: list[OSError] = []
    old = folder.with_name(folder.name + ".old")
    yield from _deleted(staging(folder), faults)
    yield from _deleted(old, faults)
    try:
        # Out of the way at once: an engine that is started meanwhile finds none, not half of one.
        if folder.exists() and not old.exists():
            folder.rename(old)
    except OSError as fault:
        faults.append(fault)
        return faults
    yield from _deleted(folder, faults)
    yield from _deleted(old, faults)
    return faults


def _deleted(top: Path, faults: list[OSError]) -> Generator[None, None, None]:
    if not top.is_dir():
        return
    for folder, folders, files in os.walk(top, topdown=False, onerror=faults.append):
        for name in files:
            _try(Path(folder, name).unlink, faults)
            yield
        for name in folders:
            path = Path(folder, name)
            _try(path.unlink if path.is_symlink() else path.rmdir, faults)
    _try(top.rmdir, faults)


def _try(delete: Callable[[], None], faults: list[OSError]) -> None:
    try:
        delete()
    except OSError as fault:
        # A folder that is not empty follows from a file that was named already.
        if fault.errno != errno.ENOTEMPTY:
            faults.append(fault)


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
