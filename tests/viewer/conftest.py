"""`simcrop view` as its users have it: the command in a process of its own, and a real browser without a window.

Without the packages of the extra `view`, without Playwright or without Chromium the tests skip, and say so.
SIMCROP_CHROMIUM names a browser; SIMCROP_SCREENSHOTS a folder for pictures.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from chests import affine_of, chest_hu, volume_of

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "SimCroPSlicer"), str(ROOT / "tests" / "slicer_module")]
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

NEEDED = ("slicer", "trame_slicer", "aiohttp")
if any(importlib.util.find_spec(package) is None for package in NEEDED):
    collect_ignore_glob = ["test_*.py"]
else:
    from page_hand import Page, Served
    from scans import Scan

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def mass_and_chest(points):
    hu = chest_hu(points)
    hu[((points - np.array((-70, -35, -60))) ** 2).sum(-1) < 22**2] = 40
    return hu


@pytest.fixture(scope="session")
def chest_file(tmp_path_factory):
    """The chest of `chests.py`, with a mass in the left lower lobe, as NIfTI."""
    shape = (90, 64, 72)
    affine = affine_of(shape=shape, spacing=(4.0, 4.0, 4.0), signs=(-1, -1, 1), rotation=(4, -3, 6))
    volume = volume_of(mass_and_chest, affine, shape)
    file = tmp_path_factory.mktemp("view") / "chest.nii.gz"
    nibabel.save(nibabel.Nifti1Image(volume.voxels, volume.affine), file)
    return file


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install 'simcrop[view-tests]'"
    )
    named = os.environ.get("SIMCROP_CHROMIUM") or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if named is None:
        pytest.skip("needs Chromium: install it, or name one in SIMCROP_CHROMIUM")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=named, headless=True, args=_ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def phantom(chest_file, bright_finder):
    """That chest, and weights that find what is bright."""
    return Scan("phantom", chest_file, str(bright_finder))


@pytest.fixture(scope="session")
def lidc(real_ct):
    """A real chest, and the packaged weights."""
    return Scan("lidc", real_ct("LIDC-IDRI-0001/ct.nii.gz"), "starter")


@pytest.fixture(scope="session", params=["phantom", pytest.param("lidc", marks=pytest.mark.slow)])
def scan(request):
    """Whatever the page is asked, it is asked on both."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def served(scan):
    """The page with that scan."""
    viewer = Served(scan)
    yield viewer
    viewer.stop()


@pytest.fixture(scope="module")
def page(browser, served):
    """A tab with the scan, for the tests of one file."""
    opened = Page(browser, served).open_scan()
    yield opened
    opened.close()
