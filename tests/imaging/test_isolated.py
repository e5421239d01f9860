"""Reading in a process of its own: the same scan comes back, and whatever ends that process has a name."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nibabel
import numpy as np
import psutil
import pytest
import SimpleITK
from dicom_files import Series

from simcrop_core.errors import (
    Cancelled,
    CannotWrite,
    InternalFault,
    NotASingleVolume,
    OutOfMemory,
    ReadingTookTooLong,
    SeriesChoiceNeeded,
    UnreadableFile,
)
from simcrop_core.imaging import isolated, isolated_child
from simcrop_core.imaging.confined import ReadLimits
from simcrop_core.imaging.isolated import ScanReading, read_isolated
from simcrop_core.imaging.isolated_form import description_of, dicom_of, header_of, voxel_type_of
from simcrop_core.imaging.read import open_scan, read_volume
from simcrop_core.progress import Job

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits and signals")
GIB = 2**30


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Where temporary files go; nothing is left in it."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []
    assert not readers()


def readers():
    """Children that read, this process's own."""
    return [child for child in psutil.Process().children() if isolated_child.__name__ in " ".join(child.cmdline())]


def stored(dtype=np.int16, shape=(5, 6, 7)):
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


def nifti(path, **options):
    affine = np.array([[-0.7, 0.1, 0, 12.345678901234567], [0.1, 0.7, 0, -1e-17], [0, 0, 1.25, np.pi], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(stored(**options), affine), path)
    return path


def itk(path, **options):
    image = SimpleITK.GetImageFromArray(stored(**options))
    image.SetDirection([0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, -1])
    SimpleITK.WriteImage(image, str(path), True)
    return path


def dicom(folder):
    Series().write(folder)
    return folder


def stuck(folder):
    """A MetaImage whose voxels are behind a pipe that nobody writes into: its reader waits for ever."""
    os.mkfifo(folder / "voxels.raw")
    path = folder / "stuck.mhd"
    head = "ObjectType = Image\nNDims = 3\nDimSize = 8 8 8\nElementType = MET_SHORT\nElementSpacing = 1 1 1\n"
    path.write_text(head + "ElementDataFile = voxels.raw\n")
    return path


MADE = {
    "nifti": lambda folder: nifti(folder / "ct.nii"),
    "nifti-gz-float": lambda folder: nifti(folder / "ct.nii.gz", dtype=np.float32),
    "nifti-double": lambda folder: nifti(folder / "ct.nii.gz", dtype=np.float64),
    "nrrd": lambda folder: itk(folder / "ct.nrrd"),
    "metaimage": lambda folder: itk(folder / "ct.mha"),
    "dicom": lambda folder: dicom(folder / "series"),
}


@pytest.mark.parametrize("name", MADE)
def test_the_same_scan_comes_back_bit_for_bit(name, tmp_path):
    path = MADE[name](tmp_path)
    with open_scan(path) as scan:
        header, direct = scan.header, scan.decode()
    read = read_isolated(path)
    volume = read.volume
    assert volume.voxels.dtype == direct.voxels.dtype
    assert volume.voxels.strides == direct.voxels.strides
    assert volume.voxels.tobytes("F") == direct.voxels.tobytes("F")
    assert volume.voxels.flags.writeable
    assert volume.affine.tobytes() == read.header.affine.tobytes() == direct.affine.tobytes()
    assert (volume.name, volume.dicom, volume.findings) == (direct.name, direct.dicom, direct.findings)
    for field in ("name", "file_format", "shape", "stored_type", "slope", "intercept", "file_bytes", "findings"):
        assert getattr(read.header, field) == getattr(header, field)


def test_a_fault_has_the_same_class_words_and_hint(tmp_path):
    folder = tmp_path / "two"
    for number in (1, 2):
        Series(number=number).write(folder / str(number))
    flat = itk(tmp_path / "flat.mha", shape=(3, 8, 8))
    for path, kind in ((folder, SeriesChoiceNeeded), (flat, NotASingleVolume), (tmp_path / "none", UnreadableFile)):
        with pytest.raises(kind) as direct:
            read_volume(path)
        with pytest.raises(kind) as apart:
            read_isolated(path)
        assert (apart.value.message, apart.value.hint) == (direct.value.message, direct.value.hint)
    assert read_isolated(folder, series="2").volume.dicom.series_number == 2


def test_steps_are_told_and_a_job_that_is_stopped_ends_the_process(tmp_path):
    steps = []
    read_isolated(nifti(tmp_path / "ct.nii"), job=Job(steps.append))
    assert "reading" in {step.stage for step in steps}
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        read_isolated(nifti(tmp_path / "ct.nii"), job=job)


@linux
def test_a_reading_that_is_stuck_is_stopped_by_its_job(tmp_path):
    job = Job()
    threading.Timer(0.3, job.cancel).start()
    with pytest.raises(Cancelled):
        read_isolated(stuck(tmp_path), job=job)


@linux
@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (signal.SIGSEGV, UnreadableFile, "crashed .SIGSEGV."),
        (signal.SIGABRT, UnreadableFile, "crashed .SIGABRT."),
        (signal.SIGKILL, OutOfMemory, "want of memory"),
        (signal.SIGXCPU, ReadingTookTooLong, "it was stopped"),
    ],
)
def test_a_process_that_a_signal_ends_is_a_named_fault(tmp_path, number, kind, words):
    with ScanReading(stuck(tmp_path)) as reading:
        threading.Thread(target=ended_when_it_waits, args=(number,)).start()
        with pytest.raises(kind, match=words) as fault:
            reading.result()
    assert "stuck.mhd" in fault.value.message
    assert fault.value.hint


def ended_when_it_waits(number):
    """Send a signal to the child once it has loaded ITK and waits for the pipe."""
    (child,) = readers()
    while "SimpleITK" not in Path(f"/proc/{child.pid}/maps").read_text():
        time.sleep(0.02)
    child.send_signal(number)


@linux
def test_a_reader_that_waits_for_ever_is_stopped_in_time(tmp_path):
    start = time.monotonic()
    with pytest.raises(ReadingTookTooLong, match=r"stuck\.mhd took longer than 1 s"):
        read_isolated(stuck(tmp_path), limits=ReadLimits(seconds=1))
    assert time.monotonic() - start < 30


@linux
def test_a_reader_that_takes_too_much_of_the_processor_is_stopped(tmp_path):
    """Two gigabytes of zeros, as the header promises: seconds of decoding."""
    path = zeros(tmp_path / "long.nii.gz", (1024, 1024, 1024), np.int16)
    with pytest.raises(ReadingTookTooLong, match="more of the processor than 1 s"):
        read_isolated(path, limits=ReadLimits(cpu_seconds=1))


@linux
@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_a_bomb_that_its_header_owns_up_to_ends_at_the_cap_of_memory(tmp_path, dtype):
    path = zeros(tmp_path / "bomb.nii.gz", (1024, 1024, 1024), dtype)
    with pytest.raises(OutOfMemory):
        read_isolated(path, limits=ReadLimits(memory_bytes=GIB))


@linux
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_bomb_in_itk_s_formats_ends_at_the_cap_of_memory(tmp_path, suffix):
    path = tmp_path / f"bomb{suffix}"
    SimpleITK.WriteImage(SimpleITK.Image([512, 512, 512], SimpleITK.sitkUInt8), str(path), True)
    with pytest.raises(OutOfMemory, match="memory"):
        read_isolated(path, limits=ReadLimits(memory_bytes=GIB // 2))


def zeros(path, shape, dtype):
    """A NIfTI of zeros in a file of megabytes."""
    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_sform(np.eye(4), 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    total = int(np.prod(shape)) * np.dtype(dtype).itemsize
    mebibyte = gzip.compress(bytes(2**20), 6)
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4), 1) + mebibyte * (total >> 20))
    return path


@linux
def test_no_room_for_the_voxels_is_a_fault_of_the_disk(tmp_path):
    """A limit on the size of files is what a full disk is to a writer: a write that fails half way."""
    path = nifti(tmp_path / "ct.nii.gz", shape=(40, 40, 40))
    code = """
import resource, sys
from pathlib import Path
from simcrop_core.errors import CannotWrite
from simcrop_core.imaging.isolated import read_isolated
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    read_isolated(Path(sys.argv[1]))
except CannotWrite as fault:
    print(fault.message, fault.hint)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": tempfile.gettempdir()}
    said = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, env=environment, check=True
    ).stdout
    assert said.startswith("No room for the voxels")


def test_without_a_folder_for_temporary_files_the_fault_says_so(tmp_path, scratch, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(scratch / "gone"))
    with pytest.raises(CannotWrite, match="temporary files"):
        read_isolated(nifti(tmp_path / "ct.nii"))


def test_a_process_that_does_not_start_is_no_fault_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(InternalFault, match="No process can be started"):
        read_isolated(nifti(tmp_path / "ct.nii"))


def test_a_pipe_given_as_a_scan_is_refused_at_once(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    os.mkfifo(tmp_path / "ct.nii")
    with pytest.raises(UnreadableFile, match="no file and no folder"):
        read_volume(tmp_path / "ct.nii")


def test_the_process_loads_neither_torch_nor_another_format_s_library(tmp_path):
    path = nifti(tmp_path / "ct.nii")
    code = f"""
import sys
from pathlib import Path
from simcrop_core.imaging import isolated_child
from simcrop_core.imaging.read import read_volume
read_volume(Path({str(path)!r}))
print(sorted({{"torch", "monai", "SimpleITK", "matplotlib"}} & set(sys.modules)))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.fixture
def description(tmp_path):
    with open_scan(nifti(tmp_path / "ct.nii")) as scan:
        return json.loads(json.dumps(description_of(scan.header, scan.decode())))


WRONG = {
    "shape": ([5, 6], [5, 6, -7], [5, 6, 7.0], "567", [5, 6, True]),
    "affine": ([[1.0] * 4] * 4, [[1.0] * 3] * 4, [["1"] * 4] * 4, None),
    "voxel_type": ("float64", "object", 3, ["int16"]),
    "name": (None, 7, "x" * 1_000_000),
    "findings": ([["code", "perfect", "", ""]], [["code"]], {}),
    "dicom": ([1, [1, 2], "", ""], "none", [1.5, [None] * 7, "", ""]),
    "slope": ("1", 1),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_what_describes_no_scan_is_not_believed(description, field, value):
    with pytest.raises((KeyError, TypeError, ValueError, NotASingleVolume)):
        judged(description | {field: value})
    header, _, _ = judged(description)
    assert header.shape == (5, 6, 7)


def judged(description):
    header = header_of(description)
    return header, voxel_type_of(description), dicom_of(description, header.shape[2])


LIES = {
    "voxels that are too few": 'exchange.write(b"1234"); say({"scan": description})',
    "no JSON": 'os.write(1, b"neither\\n")',
    "a message of another kind": 'say({"other": 1})',
    "a fault without words": 'say({"fault": {}})',
    "a list": 'say({"scan": []})',
}


@pytest.mark.parametrize("lie", LIES)
def test_a_process_that_lies_is_a_named_fault(lie, tmp_path, description, monkeypatch):
    """In place of the reader stands one that was taken over."""
    module = tmp_path / "taken_over.py"
    module.write_text(
        "import io, json, os\n"
        'exchange = io.FileIO(0, "r+", closefd=False)\n'
        f"description = json.loads({json.dumps(description)!r})\n"
        'say = lambda message: os.write(1, json.dumps(message).encode() + b"\\n")\n'
        f"{LIES[lie]}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(isolated.isolated_child, "__name__", "taken_over")
    with pytest.raises(UnreadableFile, match="gave no volume"):
        read_isolated(tmp_path / "ct.nii")
