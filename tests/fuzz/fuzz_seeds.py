"""What fuzzing begins with: small inputs that every target understands, and words that its format is made of."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np

from simcrop_core.serve import wire

SHAPE = (8, 7, 6)
AFFINE = np.diag([-9.0, -9.0, 10.0, 1.0])


def _voxels() -> np.ndarray:
    """Air around tissue: enough of a CT to pass for one."""
    voxels = np.full(SHAPE, -1000, np.int16)
    voxels[2:6, 2:5, 1:5] = 40
    return voxels


def _nifti(kind: type) -> bytes:
    image = kind(_voxels(), AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(AFFINE, 1)
    return image.to_bytes()


def _nrrd() -> bytes:
    sizes = " ".join(map(str, SHAPE))
    head = (
        f"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {sizes}\n"
        "space directions: (9,0,0) (0,9,0) (0,0,10)\nkinds: domain domain domain\nendian: little\n"
        "encoding: raw\nspace origin: (0,0,0)\n\n"
    )
    return head.encode() + _voxels().tobytes(order="F")


def _metaimage() -> bytes:
    sizes = " ".join(map(str, SHAPE))
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nCenterOfRotation = 0 0 0\n"
        f"ElementSpacing = 9 9 10\nDimSize = {sizes}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    return head.encode() + _voxels().tobytes(order="F")


def _frames() -> bytes:
    return b"".join(wire.array_frames("voxels", _voxels(), "zlib", affine=AFFINE.tolist())) + wire.line("end")


def _answers() -> list[bytes]:
    body = wire.line("progress", stage="Encoding", done=1, total=2, eta_s=0.5)
    body += b"".join(wire.array_frames("heatmap-0", np.zeros((2, 2, 2), np.float32), "raw"))
    body += wire.line("result", document={"n": 1})
    kind = f"Content-Type: {wire.CONTENT_TYPE}\r\n".encode()
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    refusal = b'{"code": "not-a-chest", "message": "No lungs.", "hint": "Another series."}'
    return [
        b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (kind, len(body), body),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (kind, chunked),
        b"HTTP/1.1 422 Unprocessable\r\nContent-Length: %d\r\n\r\n%b" % (len(refusal), refusal),
    ]


_REPORT = (
    "FINDINGS:\nLungs: A 6 mm nodule in the right upper lobe (series 4, image 112). No pleural effusion.\n"
    "1. Heart is normal.\n2. Aorta measures 3.2 x 3.1 cm, unchanged since 01.02.2019.\n\n"
    "IMPRESSION: Possible pneumonia, left lower lobe vs. atelectasis.\nFollow-up CT in 3 months is recommended."
)

SEEDS: dict[str, list[bytes]] = {
    "nifti": [_nifti(nibabel.Nifti1Image), gzip.compress(_nifti(nibabel.Nifti1Image)), _nifti(nibabel.Nifti2Image)],
    "nrrd": [_nrrd()],
    "metaimage": [_metaimage()],
    "report": [_REPORT.encode(), "Sağ akciğerde 5 mm nodül. 右肺结节。\u2028<b>No</b> effusion\x00.".encode()],
    "frames": [_frames()],
    "answer": _answers(),
}

WORDS: dict[str, list[str]] = {
    "nifti": ["\\x5c\\x01\\x00\\x00", "n+1", "\\x00\\x00\\x80\\x7f", "\\x00\\x00\\xc0\\x7f", "\\xff\\xff\\xff\\x7f"],
    "nrrd": [
        "type:", "dimension:", "sizes:", "space:", "space directions:", "spacings:", "encoding:", "endian: big",
        "data file:", "line skip:", "byte skip: -1", "gzip", "bzip2", "hex", "ascii", "double", "block", "nan", "inf",
        "none", "thicknesses:", "kinds:", "measurement frame:", "99999999999999999999",
    ],
    "metaimage": [
        "NDims =", "DimSize =", "ElementType =", "MET_FLOAT", "MET_USHORT", "ElementNumberOfChannels =",
        "ElementDataFile = LIST", "CompressedData = True", "CompressedDataSize =", "HeaderSize = -1", "ElementSpacing",
        "Orientation =", "TransformMatrix =", "AnatomicalOrientation =", "nan", "inf", "99999999999999999999",
    ],
    "report": [
        "FINDINGS:", "IMPRESSION:", "Lungs:", "No ", "(series ", ", image ", "e.g. ", "Dr. ", "1.", "mm", "\\x0b",
        "\\xe2\\x80\\xa8", "\\x00",
    ],
    "frames": [
        '{\\"event\\": \\"', "array", "chunk", "progress", "result", "error", '\\"raw\\": ', '\\"bytes\\": ', "zlib",
        "blosc2", "NaN", "Infinity", "1e999", "null", '\\"shape\\": ', '\\"dtype\\": ', "float64",
    ],
    "answer": [
        "HTTP/1.1 200 OK\\x0d\\x0a", "Transfer-Encoding: chunked", "Content-Length: ",
        "\\x0d\\x0a\\x0d\\x0a", "HTTP/1.1 100 ",
        "-1", "0x", "1_0", "Infinity", '{\\"event\\": \\"', "progress", "chunk",
        "Content-Type: application/x-simcrop-frames",
    ],
}  # fmt: skip
