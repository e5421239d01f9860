"""Images that are wrong in one way each: how they are made, and the row of the passport that names it."""

from __future__ import annotations

import gzip
import struct
import zipfile

import nibabel
import numpy as np
from chests import affine_of, chest_hu, volume_of
from dicom_files import Series, save

SHAPE = (60, 44, 50)
AFFINE = affine_of(spacing=(6, 6, 6), shape=SHAPE)
VOXELS = volume_of(chest_hu, AFFINE, SHAPE).voxels
PLAIN = VOXELS.tobytes("F")
UNREADABLE = ("unreadable-file", "refused")
NOT_SINGLE = ("not-a-single-volume", "refused")
GEOMETRY = ("broken-geometry", "refused")
VALUES = ("not-hounsfield", "refused")
NO_CT = ("not-a-ct", "refused")


def raw_nifti(voxels=VOXELS, affine=AFFINE, **fields):
    """The bytes of a NIfTI-1 file with header fields overwritten."""
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_sform(affine, 1)
    plain = bytearray(image.to_bytes())
    header = nibabel.Nifti1Header(bytes(plain[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock + bytes(plain[348:])


def nifti(name="scan.nii", voxels=VOXELS, affine=AFFINE, change=lambda content: content, **fields):
    """A maker of a NIfTI file whose bytes are changed last."""

    def make(folder):
        path = folder / name
        content = raw_nifti(voxels, affine, **fields)
        path.write_bytes(change(gzip.compress(content, 1) if name.endswith(".gz") else content))
        return path

    return make


def values(change, dtype=np.float32):
    return nifti(voxels=np.asarray(change(VOXELS.astype(np.float32)), dtype))


def sheared(degrees):
    shear = np.eye(4)
    shear[1, 2] = np.tan(np.radians(degrees))
    return AFFINE @ shear


def written(name, content):
    def make(folder):
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def with_nan(hu):
    hu[3, 4, 5:9] = np.nan
    return hu


def disagreeing(folder):
    image = nibabel.Nifti1Image(VOXELS, AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(np.diag([-6.0, 6, 6, 1]), 1)
    nibabel.save(image, folder / "scan.nii")
    return folder / "scan.nii"


def gzip_bomb(folder):
    """A small scan, and a gigabyte of zeros behind it."""
    path = folder / "bomb.nii.gz"
    mebibyte = gzip.compress(bytes(2**20), 6)
    path.write_bytes(gzip.compress(raw_nifti(), 1) + mebibyte * 1024)
    return path


NIFTI = {
    "nifti-empty": (written("scan.nii", b""), UNREADABLE),
    "nifti-text": (written("scan.nii", b"this is no image, whatever its name says\n" * 20), UNREADABLE),
    "nifti-gz-text": (written("scan.nii.gz", b"no image"), UNREADABLE),
    "nifti-gz-noise": (written("scan.nii.gz", b"\x1f\x8b" + bytes(range(256)) * 4), UNREADABLE),
    "nifti-header-cut": (nifti(change=lambda c: c[:200]), UNREADABLE),
    "nifti-voxels-cut": (nifti(change=lambda c: c[:-1000]), UNREADABLE),
    "nifti-gz-cut": (nifti("scan.nii.gz", change=lambda c: c[: len(c) // 2]), UNREADABLE),
    "nifti-gz-damaged": (nifti("scan.nii.gz", change=lambda c: c[:-8] + b"\0" * 8), UNREADABLE),
    "nifti-goes-on": (nifti(change=lambda c: c + b"more"), UNREADABLE),
    "nifti-bomb": (gzip_bomb, UNREADABLE),
    "nifti-promises-terabytes": (nifti(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]), UNREADABLE),
    "nifti-promises-too-much": (nifti("scan.nii.gz", dim=[3, 2000, 2000, 500, 1, 1, 1, 1]), UNREADABLE),
    "nifti-nine-axes": (nifti(change=lambda c: c[:40] + struct.pack("<h", 9) + c[42:]), UNREADABLE),
    "nifti-negative-size": (nifti(dim=[3, -60, 44, 50, 1, 1, 1, 1]), NOT_SINGLE),
    "nifti-half-of-a-pair": (nifti(magic=b"ni1"), UNREADABLE),
    "nifti-offset": (nifti(vox_offset=1e30), UNREADABLE),
    "nifti-intercept-infinite": (nifti(scl_slope=1, scl_inter=np.inf), UNREADABLE),
    "nifti-type-unknown": (nifti(datatype=4242), UNREADABLE),
    "nifti-complex": (nifti(voxels=np.zeros(SHAPE, np.complex64)), UNREADABLE),
    "nifti-colour": (nifti(voxels=np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])), NOT_SINGLE),
    "nifti-4d": (nifti(voxels=np.stack([VOXELS, VOXELS], axis=3)), NOT_SINGLE),
    "nifti-two-slices": (nifti(voxels=VOXELS[:, :, :2]), NOT_SINGLE),
    "nifti-place-no-number": (nifti(srow_x=[np.nan] * 4), GEOMETRY),
    "nifti-one-plane": (nifti(srow_x=[0, 0, 0, 0]), GEOMETRY),
    "nifti-slanted": (nifti(affine=sheared(15)), GEOMETRY),
    "nifti-slightly-slanted": (nifti(affine=sheared(0.5)), ("orthogonality", "repaired")),
    "nifti-in-metres": (nifti(affine=AFFINE @ np.diag([1e-3, 1e-3, 1e-3, 1])), GEOMETRY),
    "nifti-no-orientation": (nifti(sform_code=0, qform_code=0), ("orientation-unstated", "warned")),
    "nifti-forms-disagree": (disagreeing, ("forms-disagree", "warned")),
    "nifti-oblique": (
        nifti(affine=affine_of(spacing=(6, 6, 6), rotation=(40, 0, 0), shape=SHAPE)), ("orientation", "warned"),
    ),
    "nifti-picture": (values(lambda hu: np.interp(hu, (-1350, 150), (0, 255)), np.uint8), VALUES),
    "nifti-normalised": (values(lambda hu: hu / 1000), VALUES),
    "nifti-without-rescale": (values(lambda hu: hu + 1024), VALUES),
    "nifti-rescaled-twice": (values(lambda hu: hu - 1024), VALUES),
    "nifti-one-value": (values(lambda hu: hu * 0 - 1000), VALUES),
    "nifti-no-number": (values(lambda hu: hu * np.nan), VALUES),
    "nifti-some-nan": (values(with_nan), ("finite", "repaired")),
    "nifti-clipped": (values(lambda hu: np.clip(hu, -1350, 0)), ("hounsfield", "warned")),
    "nifti-no-lungs": (values(lambda hu: np.where(hu < -500, 20, hu) - (hu == 400) * 1500), ("not-a-chest", "refused")),
    "nifti-cut-lungs": (nifti(voxels=VOXELS[:, :, 25:]), ("lungs", "warned")),
}  # fmt: skip

_NRRD = """NRRD0004
type: {type}
dimension: {dimension}
{space}sizes: {sizes}
{directions}encoding: {encoding}
endian: little
{more}
"""


def nrrd(name="scan.nrrd", content=PLAIN, **fields):
    stated = {
        "type": "short", "dimension": 3, "space": "space: left-posterior-superior\n", "sizes": "60 44 50",
        "directions": "space directions: (6,0,0) (0,6,0) (0,0,6)\nspace origin: (-180,-130,-150)\n",
        "encoding": "raw", "more": "",
    } | fields  # fmt: skip
    return written(name, _NRRD.format(**stated).encode() + content)


NRRD = {
    "nrrd-magic-alone": (written("scan.nrrd", b"NRRD0004\n"), UNREADABLE),
    "nrrd-endless-header": (written("scan.nrrd", b"NRRD0004\n" + b"key: value\n" * 100_000), UNREADABLE),
    "nrrd-encoding-unknown": (nrrd(encoding="rot13"), UNREADABLE),
    "nrrd-voxels-cut": (nrrd(content=VOXELS.tobytes()[:1000]), UNREADABLE),
    "nrrd-gzip-damaged": (nrrd(encoding="gzip", content=gzip.compress(PLAIN)[:500]), UNREADABLE),
    "nrrd-promises-terabytes": (nrrd(sizes="90000 90000 90000"), UNREADABLE),
    "nrrd-promises-too-much": (nrrd(sizes="2000 2000 500", content=b"\0" * 64), UNREADABLE),
    "nrrd-other-file": (nrrd("scan.nhdr", content=b"", more="data file: ../../../etc/passwd\n"), UNREADABLE),
    "nrrd-one-plane": (nrrd(directions="space directions: (6,0,0) (6,0,0) (0,0,6)\n"), UNREADABLE),
    "nrrd-no-space": (nrrd(space="", directions="spacings: 6 6 6\n"), ("orientation-unstated", "warned")),
}


def mha(content=PLAIN, name="scan.mha", **fields):
    stated = {
        "ObjectType": "Image", "NDims": 3, "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False", "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "-180 -130 -150",
        "ElementSpacing": "6 6 6", "DimSize": "60 44 50", "ElementType": "MET_SHORT",
    } | fields  # fmt: skip
    lines = "".join(f"{key} = {value}\n" for key, value in stated.items())
    return written(name, f"{lines}ElementDataFile = LOCAL\n".encode() + content)


MHA = {
    "mha-empty": (written("scan.mha", b""), UNREADABLE),
    "mha-ninety-nine-axes": (mha(NDims=99), UNREADABLE),
    "mha-voxels-cut": (mha(VOXELS.tobytes()[:1000]), UNREADABLE),
    "mha-damaged-compression": (mha(b"\x78\x9c" + b"garbage" * 99, CompressedData="True"), UNREADABLE),
    "mha-promises-terabytes": (mha(DimSize="90000 90000 90000"), UNREADABLE),
    "mha-promises-too-much": (mha(b"\0" * 64, DimSize="2000 2000 500"), UNREADABLE),
    "mha-colour": (mha(VOXELS.tobytes() * 3, ElementNumberOfChannels=3), NOT_SINGLE),
    "mha-in-micrometres": (mha(ElementSpacing="6000 6000 6000"), GEOMETRY),
    "mha-sheared": (mha(TransformMatrix="1 0 0 0.5 0.866 0 0.3 0.2 0.933"), GEOMETRY),
}


def series(**fields):
    """A maker of a folder with one series."""
    return lambda folder: Series(**fields).write(folder / "series")


def without(*places):
    return lambda folder: Series().write(folder / "series", leave_out=places)


def changed(**changes):
    """A series of which every slice has other header values; None takes one out."""

    def make(folder):
        one = Series()
        (folder / "series").mkdir()
        for k in range(one.slices):
            save(one.dataset(k, **changes), folder / "series" / f"{k:02d}")
        return folder / "series"

    return make


def uneven(folder):
    one = Series()
    path = one.write(folder / "series")
    moved = [float(mm) for mm in one.position(5) + one.normal * 2]
    for file in path.iterdir():
        file.unlink()
    for k in range(one.slices):
        save(one.dataset(k, **({"ImagePositionPatient": moved} if k == 5 else {})), path / f"{k:02d}")
    return path


def two(folder, *, same):
    one = Series()
    one.write(folder / "series" / "a")
    (one if same else Series(number=7)).write(folder / "series" / "b")
    return folder / "series"


def beside(name, content):
    def make(folder):
        path = Series().write(folder / "series", names=lambda k: f"{k:02d}")
        (path / name).write_bytes(content(path))
        return path

    return make


def text_folder(folder):
    (folder / "series").mkdir()
    (folder / "series" / "readme.txt").write_text("nothing here")
    return folder / "series"


def empty_folder(folder):
    (folder / "series").mkdir()
    return folder / "series"


DICOM = {
    "dicom-empty-folder": (empty_folder, UNREADABLE),
    "dicom-only-text": (text_folder, UNREADABLE),
    "dicom-mr": (series(modality="MR"), NO_CT),
    "dicom-localizer": (series(image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")), NO_CT),
    "dicom-mip": (series(image_type=("DERIVED", "SECONDARY", "AXIAL", "MIP")), NO_CT),
    "dicom-colour": (changed(SamplesPerPixel=3), NO_CT),
    "dicom-no-position": (changed(ImagePositionPatient=None), UNREADABLE),
    "dicom-three-slices": (series(slices=3), NOT_SINGLE),
    "dicom-missing-slice": (without(5), GEOMETRY),
    "dicom-uneven": (uneven, GEOMETRY),
    "dicom-tilted": (series(slant_mm=1.0), GEOMETRY),
    "dicom-two-phases": (lambda folder: two(folder, same=True), NOT_SINGLE),
    "dicom-two-series": (lambda folder: two(folder, same=False), ("series-choice-needed", "refused")),
    "dicom-no-rescale": (series(intercept=0.0, pixel_mm=(8.0, 8.0)), VALUES),
    "dicom-lying-rows": (changed(Rows=60000, Columns=60000), UNREADABLE),
    "dicom-copy": (beside("copy", lambda p: (p / "03").read_bytes()), ("copies-left-out", "repaired")),
    "dicom-slice-cut": (beside("05", lambda p: (p / "05").read_bytes()[:-300]), UNREADABLE),
    "dicom-header-cut": (beside("11", lambda p: (p / "11").read_bytes()[:430]), ("files-left-out", "warned")),
}


def zipped(change=lambda content: content, name=lambda file: file.name):
    def make(folder):
        files = sorted(Series().write(folder / "files").iterdir())
        with zipfile.ZipFile(folder / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, name(file))
                file.unlink()
        (folder / "files").rmdir()
        path = folder / "study.zip"
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def encrypted(content):
    """The flag of encryption in every entry of the directory."""
    changed_bytes, at = bytearray(content), content.find(b"PK\x01\x02")
    while at >= 0:
        changed_bytes[at + 8] |= 1
        at = content.find(b"PK\x01\x02", at + 4)
    return bytes(changed_bytes)


def claims_gigabytes(content):
    """Entries whose directory promises four gigabytes each."""
    changed_bytes, at = bytearray(content), content.find(b"PK\x01\x02")
    while at >= 0:
        changed_bytes[at + 24 : at + 28] = b"\xf0\xff\xff\xff"
        at = content.find(b"PK\x01\x02", at + 4)
    return bytes(changed_bytes)


def of_text(folder):
    with zipfile.ZipFile(folder / "study.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    return folder / "study.zip"


ZIP = {
    "zip-cut": (zipped(lambda c: c[: len(c) // 2]), UNREADABLE),
    "zip-damaged": (zipped(lambda c: c[:200] + b"\0" * 40 + c[240:]), UNREADABLE),
    "zip-encrypted": (zipped(encrypted), UNREADABLE),
    "zip-claims-gigabytes": (zipped(claims_gigabytes), UNREADABLE),
    "zip-of-text": (of_text, UNREADABLE),
    "zip-names-outside": (zipped(name=lambda file: f"../../escaped/{file.name}"), ("affine", "pass")),
}

IMAGES = NIFTI | NRRD | MHA | DICOM | ZIP
