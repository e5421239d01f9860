"""What a result was made from: weights, data, settings and versions, so that two results can be told apart."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from simcrop_core.models.checksum import sha256_of
from simcrop_core.models.registry import resolve_weights

_PACKAGES = ("simcrop", "torch", "numpy", "scipy", "scikit-learn", "monai", "SimpleITK", "nibabel")


def manifest_of(weights: Path | str, data: Mapping[str, object], config: Mapping[str, object]) -> dict[str, object]:
    """What goes into every results.json.

    Args:
        weights: name, folder or file.
        data: what was read: names, counts, hashes.
        config: the protocol and the settings.

    Raises:
        UnknownWeights: there are none of that name.
    """
    return {
        "weights": {"name": str(weights), "sha256": weights_sha256(weights)},
        "data": dict(data),
        "config": dict(config),
        "versions": {**_versions(), "python": platform.python_version()},
    }


def weights_sha256(weights: Path | str) -> dict[str, str]:
    """The hash of every file of the weights, by file name.

    Raises:
        UnknownWeights: there are none of that name.
    """
    found = resolve_weights(weights)
    files = (found.grounding, found.segmentation, found.encoder)
    return {file.name: sha256_of(file) for file in files if file is not None}


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
