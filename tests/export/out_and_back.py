"""How far from its true place each format puts a voxel, read back by software that is not ours.

`python tests/export/out_and_back.py` prints the table of docs/results.md.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "SimCroPSlicer")]

from chests import affine_of  # noqa: E402
from dicom_files import Series  # noqa: E402

from simcrop_core.export.nifti import write_heatmap, write_labelmap  # noqa: E402
from simcrop_core.imaging.affine import apply  # noqa: E402
from simcrop_core.imaging.dicom.source import read_source  # noqa: E402
from simcrop_core.imaging.heatmap import ColourScale, Heatmap  # noqa: E402
from simcrop_core.imaging.read import read_volume  # noqa: E402
from simcrop_core.imaging.volume import Volume  # noqa: E402
from simcrop_core.inference.segmentation import Labelmap  # noqa: E402
from simcrop_core.results import WeightsInfo  # noqa: E402

WEIGHTS = WeightsInfo("starter", "4f" * 32, "Apache-2.0", "synthetic chests")
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Oblique about all three axes, two axes flipped, another voxel edge along each.
SHAPE = (40, 36, 24)
AFFINE = affine_of(
    order=(1, 0, 2),
    signs=(-1, -1, 1),
    spacing=(0.7, 0.93, 3.1),
    rotation=(12, -7, 20),
    shape=SHAPE,
    centre=(31, -80, -412),
)
ROWS = (0.9781476, 0.2079117, 0.0, 0.2033683, -0.9567727, -0.2079117)
SERIES = Series(
    slices=SHAPE[2], columns=SHAPE[0], rows=SHAPE[1], pixel_mm=(7.3, 9.1), step_mm=3.1, orientation=ROWS,
    origin=(-151.7, 133.3, -412.9),
)  # fmt: skip

# Corner → where a reader found it, RAS mm.
Found = dict[int, np.ndarray]


def corners(shape: tuple[int, int, int]) -> np.ndarray:
    """(8, 3) indices of the outermost voxels: nowhere is a fault of direction or spacing greater."""
    return np.array([[i * (n - 1) for i, n in zip(bits, shape, strict=True)] for bits in np.ndindex(2, 2, 2)])


def marked(shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 labels 1 to 8 at the corners, so that no turn or mirroring goes unseen."""
    voxels = np.zeros(shape, np.uint8)
    voxels[tuple(corners(shape).T)] = range(1, 9)
    return voxels


def scored(shape: tuple[int, int, int]) -> np.ndarray:
    """The same as scores: 0.1 to 0.8 at the corners, −0.5 elsewhere."""
    return np.where(marked(shape) > 0, marked(shape) / 10, -0.5).astype(np.float32)


def places(values: np.ndarray, affine: np.ndarray) -> Found:
    """Where an array on a grid has the labels, or ten times the scores, 1 to 8."""
    numbers = np.rint(values.astype(float) * (1 if values.max() > 1 else 10)).astype(int)
    found = {}
    for number in range(1, 9):
        (index,) = np.argwhere(numbers == number)
        found[number] = apply(affine, index)
    return found


def by_nibabel(path: Path) -> Found:
    """NIfTI's sform."""
    image = nibabel.load(path)
    return places(np.asarray(image.dataobj), image.affine)


def by_nibabel_qform(path: Path) -> Found:
    """NIfTI's qform, which some software prefers."""
    image = nibabel.load(path)
    return places(np.asarray(image.dataobj), image.get_qform())


def by_simpleitk(path: Path) -> Found:
    """ITK's origin, spacing and direction."""
    image = SimpleITK.ReadImage(path)
    values = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    return places(values, LPS @ lps)


def by_slicer(path: Path) -> Found:
    """Slicer's own reader of volumes, from its wheel."""
    import slicer
    from vtkmodules.util.numpy_support import vtk_to_numpy

    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    values = vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())
    affine = np.array([[_element(node, row, column) for column in range(4)] for row in range(4)])
    return places(values.reshape(node.GetImageData().GetDimensions(), order="F"), affine)


def _element(node, row, column):
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix.GetElement(row, column)


def by_highdicom(path: Path) -> Found:
    """The volume that highdicom makes of a multi-frame object."""
    if "seg" in path.name:
        from highdicom.seg import segread

        volume = segread(path).get_volume(combine_segments=True)
    else:
        from highdicom import imread

        volume = imread(path).get_volume(apply_real_world_transform=False)
    return places(volume.array, LPS @ volume.affine)


def by_dcmqi(path: Path) -> Found:
    """What dcmqi converts an object to, read by ITK."""
    tool = "segimage2itkimage" if "seg" in path.name else "paramap2itkimage"
    with tempfile.TemporaryDirectory() as folder:
        options = ["--inputDICOM", path, "--outputDirectory", folder, "--outputType", "nrrd"]
        options += ["--mergeSegments"] if "seg" in path.name else []
        subprocess.run(list(map(str, [dcmqi(tool), *options])), check=True, capture_output=True, timeout=120)
        (image,) = Path(folder).glob("*.nrrd")
        return by_simpleitk(image)


def dcmqi(tool: str) -> Path:
    """A program of the package dcmqi."""
    spec = importlib.util.find_spec("dcmqi")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "bin" / tool


def by_pydicom(path: Path) -> Found:
    """The header of each frame, by the standard's own formula (PS3.3 C.7.6.2.1.1)."""
    import pydicom

    dataset = pydicom.dcmread(path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    row, column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = {}
    for frame, values in zip(dataset.PerFrameFunctionalGroupsSequence, _frames(dataset), strict=True):
        first = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for r, c in np.argwhere(values > 0):
            number = round(float(values[r, c]) * 10)
            if "SegmentIdentificationSequence" in frame:
                number = int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            place = first + c * between_columns * row + r * between_rows * column
            found[number] = place * [-1, -1, 1]
    return found


def _frames(dataset):
    shape = (int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns)
    if "FloatPixelData" in dataset:
        return np.frombuffer(dataset.FloatPixelData, "<f4").reshape(shape)
    return dataset.pixel_array.reshape(shape)


def by_simpleitk_in_a_bundle(path: Path) -> Found:
    """The volume's file inside a scene bundle."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as bundle:
        bundle.extractall(folder)
        (inside,) = Path(folder).rglob("*.nrrd")
        return by_simpleitk(inside)


def labels_at(suffix: str) -> Callable[[Path], tuple[Path, np.ndarray]]:
    """Writes a label map of that format; tells the file and its true affine."""

    def write(folder: Path) -> tuple[Path, np.ndarray]:
        path = folder / f"labels{suffix}"
        write_labelmap(path, marked(SHAPE), AFFINE, {n: f"corner {n}" for n in range(1, 9)})
        return path, AFFINE

    return write


def heatmap_at(suffix: str) -> Callable[[Path], tuple[Path, np.ndarray]]:
    """The same of a heatmap."""

    def write(folder: Path) -> tuple[Path, np.ndarray]:
        path = folder / f"heatmap{suffix}"
        write_heatmap(path, Heatmap(scored(SHAPE), AFFINE, "A nodule."), Volume(np.zeros((2, 2, 2), np.int16), AFFINE))
        return path, AFFINE

    return write


def dicom_segmentation(folder: Path) -> tuple[Path, np.ndarray]:
    """DICOM SEG of an oblique, flipped series."""
    from simcrop_core.export.dicom.segmentation import write_segmentation

    series = dataclasses.replace(SERIES).write(folder / "ct")
    affine = read_volume(series).affine
    names = {n: f"corner {n}" for n in range(1, 9)}
    path = folder / "seg.dcm"
    write_segmentation(path, Labelmap(marked(SHAPE), affine, names), read_source(series), WEIGHTS)
    return path, affine


def dicom_map(folder: Path) -> tuple[Path, np.ndarray]:
    """DICOM Parametric Map on a grid of its own."""
    from simcrop_core.export.dicom.parametric_map import write_parametric_map

    source = read_source(dataclasses.replace(SERIES).write(folder / "ct"))
    path = folder / "map.dcm"
    heatmap = Heatmap(scored(SHAPE), AFFINE, "A nodule.")
    write_parametric_map(path, heatmap, ColourScale(0.25, 0.55), source, WEIGHTS, number=1)
    return path, AFFINE


def scene_bundle(folder: Path) -> tuple[Path, np.ndarray]:
    """The scene that `simcrop view` saves for Slicer."""
    import asyncio

    import slicer
    from SimCroPViewer import scan
    from SimCroPViewer.bundle import write_bundle

    scene = slicer.vtkMRMLScene()
    scan.add(scene, Volume(marked(SHAPE).astype(np.int16), AFFINE, "corners"))
    path = folder / "scene.mrb"
    asyncio.run(write_bundle(scene, path))
    return path, AFFINE


NIFTI, ITK = (
    {"nibabel": by_nibabel, "nibabel, qform": by_nibabel_qform, "SimpleITK": by_simpleitk},
    {"SimpleITK": by_simpleitk},
)
SLICER = {"slicer-core": by_slicer}
DICOM = {"pydicom": by_pydicom, "highdicom": by_highdicom, "dcmqi": by_dcmqi}
# Format → how it is written, and who reads it.
FORMATS = {
    "label map .nii.gz": (labels_at(".nii.gz"), NIFTI | SLICER),
    "label map .nii": (labels_at(".nii"), NIFTI),
    "label map .nrrd": (labels_at(".nrrd"), ITK | SLICER),
    "label map .seg.nrrd": (labels_at(".seg.nrrd"), ITK | SLICER),
    "label map .mha": (labels_at(".mha"), ITK | SLICER),
    "heatmap .nii.gz": (heatmap_at(".nii.gz"), NIFTI | SLICER),
    "heatmap .nrrd": (heatmap_at(".nrrd"), ITK | SLICER),
    "heatmap .mha": (heatmap_at(".mha"), ITK | SLICER),
    "DICOM Segmentation": (dicom_segmentation, DICOM),
    "DICOM Parametric Map": (dicom_map, DICOM),
    "scene .mrb": (scene_bundle, {"SimpleITK": by_simpleitk_in_a_bundle}),
}
NEEDS = {"slicer-core": "slicer", "dcmqi": "dcmqi", "highdicom": "highdicom", "pydicom": "highdicom"}


def missing(kind: str, reader: str) -> str | None:
    """The package without which a format cannot be read back, where it is not installed."""
    package = "slicer" if kind == "scene .mrb" else NEEDS.get(reader, "numpy")
    return package if importlib.util.find_spec(package) is None else None


def error_mm(kind: str, reader: str, folder: Path) -> float:
    """The greatest distance of a corner from its true place, mm."""
    write, readers = FORMATS[kind]
    path, affine = write(folder)
    found = readers[reader](path)
    true = apply(affine, corners(SHAPE))
    return max(float(np.linalg.norm(found[number] - place)) for number, place in enumerate(true, start=1))


def main() -> None:
    """Print the table."""
    sys.stdout.write("| format | read by | greatest error (mm) |\n|---|---|---|\n")
    for kind, (_, readers) in FORMATS.items():
        for reader in readers:
            if missing(kind, reader):
                told = f"not measured: needs {missing(kind, reader)}"
            else:
                with tempfile.TemporaryDirectory() as folder:
                    told = f"{error_mm(kind, reader, Path(folder)):.1e}"
            sys.stdout.write(f"| {kind} | {reader} | {told} |\n")


if __name__ == "__main__":
    main()
