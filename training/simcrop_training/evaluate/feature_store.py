"""Features of scans on disk: one small file a scan and set of weights, so that an interrupted run goes on.

    features/<weights>/<two digits>/<key>.npz     features (C,) float32 and the scan's name
    scans/<two digits>/<path's hash>.json         size, time and sha256 of a scan's files

A key is made from what is in the scan's files, not from their names, and from how they are read.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcrop_core.export.atomic import replacing
from simcrop_core.models.checksum import read_sha256
from simcrop_training.datasets.labelled import LabelledScan

# Features of the same scan and weights change with it.
VERSION = 1
_DETACHED = (".raw", ".zraw")
_NPZ_FAULTS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class FeatureStore:
    """The features that one set of weights gave.

    Args:
        folder: of the cache; other weights may use it too.
        weights: what tells these weights, and how they compute, from any others.
    """

    def __init__(self, folder: Path, weights: str) -> None:
        self._scans = folder / "scans"
        self._features = folder / "features" / _hash([VERSION, weights])[:16]

    def key_of(self, scan: LabelledScan) -> str:
        """What tells this scan's content from any other; its files are read unless they were before.

        Raises:
            OSError: a file cannot be read.
            CannotWrite: the cache is not writable.
        """
        how = "" if scan.source is None else repr((scan.source.rescale, scan.source.geometry))
        return _hash([VERSION, scan.form, how, *(self._digest(path) for path in _files_of(scan.path))])

    def load(self, key: str) -> NDArray[np.float32] | None:
        """(C,) features; None where there are none, or the file is damaged."""
        try:
            with np.load(self._path(key), allow_pickle=False) as stored:
                features_C: NDArray[np.float32] = stored["features"]
                return features_C
        except _NPZ_FAULTS:
            return None

    def save(self, key: str, name: str, features_C: NDArray[np.float32]) -> None:
        """Keep a scan's features.

        Raises:
            CannotWrite: the cache is not writable, or the disk is full.
        """
        with replacing(self._path(key)) as temporary:
            np.savez(temporary, features=features_C, name=name)

    def _path(self, key: str) -> Path:
        return self._features / key[:2] / f"{key}.npz"

    def _digest(self, path: Path) -> str:
        """Size and sha256 of a file, read once as long as its size and time stay the same."""
        name = _hash([str(path.resolve())])
        kept, state = self._scans / name[:2] / f"{name}.json", path.stat()
        now = {"size": state.st_size, "mtime_ns": state.st_mtime_ns}
        known = _json_of(kept)
        if {field: known.get(field) for field in now} != now:
            known = {**now, "sha256": read_sha256(path)}
            with replacing(kept) as temporary:
                temporary.write_text(json.dumps(known), encoding="utf-8")
        return f"{known['size']} {known['sha256']}"


def _files_of(path: Path) -> list[Path]:
    """A scan's file, with the one that holds its voxels beside a header; the files of a folder."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path, *(file for suffix in _DETACHED if (file := path.with_suffix(suffix)).is_file() and file != path)]


def _hash(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _json_of(path: Path) -> Mapping[str, object]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
