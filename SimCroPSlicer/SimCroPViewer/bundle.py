"""A scene as .mrb without holding the page up: written uncompressed, then packed beside everything else."""

from __future__ import annotations

import asyncio
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from simcrop_core.errors import CannotWrite


async def write_bundle(scene: Any, file: Path) -> None:
    """Write the scene, with its volumes, results and what they say of themselves.

    Args:
        scene: of the session.
        file: of the bundle, .mrb.

    Raises:
        CannotWrite: the disk has no room, or a node could not be written.
    """
    _prepare(scene)
    with TemporaryDirectory(prefix="simcrop-view-", ignore_cleanup_errors=True) as folder:
        # A bundle is a zip of one folder, named after it.
        inside = Path(folder) / file.stem
        inside.mkdir()
        if not scene.SaveSceneToSlicerDataBundleDirectory(str(inside), None):
            raise CannotWrite(
                "The scene could not be written.", hint="Check the room in the folder for temporary files."
            )
        await asyncio.to_thread(_pack, Path(folder), file)


def _prepare(scene: Any) -> None:
    """Give every node that is saved a way to be stored; compression comes later, with the packing."""
    for i in range(scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
        node = scene.GetNthNodeByClass(i, "vtkMRMLStorableNode")
        if not node.GetSaveWithScene():
            continue
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
        if node.GetStorageNode() is not None:
            node.GetStorageNode().SetUseCompression(0)


def _pack(folder: Path, file: Path) -> None:
    try:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as bundle:
            for entry in sorted(folder.rglob("*")):
                bundle.write(entry, entry.relative_to(folder).as_posix())
    except OSError as fault:
        raise CannotWrite(
            f"The bundle could not be written: {fault.strerror}.", hint="Make room on the disk."
        ) from fault
