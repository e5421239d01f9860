"""Where results stand in the subject hierarchy: beside their volume, so that the study stays together."""

from __future__ import annotations

from typing import Any

import slicer


def place_beside(node: Any, source: Any) -> None:
    """Put a node under the same study (or folder) as its source.

    DICOM export takes patient and study from the item's ancestors.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(source.GetScene())
    parent = hierarchy.GetItemParent(_item(hierarchy, source))
    hierarchy.SetItemParent(_item(hierarchy, node), parent)


def remove(node: Any) -> None:
    """Take a node out of its scene, with its item; Slicer does the second by itself, a bare scene does not."""
    scene = node.GetScene()
    if scene is None:
        return
    scene.RemoveNode(node)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(node)
    if item != hierarchy.GetInvalidItemID():
        hierarchy.RemoveItem(item, False)


def _item(hierarchy: Any, node: Any) -> int:
    """The node's item; Slicer makes one for every node it is told of, a bare scene does not."""
    item: int = hierarchy.GetItemByDataNode(node)
    if item != hierarchy.GetInvalidItemID():
        return item
    made: int = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    return made
