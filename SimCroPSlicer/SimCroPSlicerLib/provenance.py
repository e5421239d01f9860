"""What a result says of itself in the scene, so that it can be understood, and the panel restored, years later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["heatmap", "segmentation", "attention", "peak", "outline", "rows"]
Table = Literal["report", "findings"]

PREFIX = "SimCroP."
SOURCE_ROLE = "SimCroPSource"
# Attributes that hold the patient's own words.
TEXT_ATTRIBUTES = ("sentence", "result")
# Findings are the weights' own words, the same for every patient.
_ROWS: dict[Table, str] = {"report": "result", "findings": "findings"}


def mark(node: Any, kind: Kind, source: Any, facts: Mapping[str, Any]) -> None:
    """Write facts into a node's attributes and refer it to the volume that it is about.

    Args:
        node: of the result.
        kind: of result.
        source: the volume node.
        facts: name → plain value; JSON where it is not text. None is left out.
    """
    node.SetAttribute(PREFIX + "kind", kind)
    node.SetNodeReferenceID(SOURCE_ROLE, source.GetID())
    for name, value in facts.items():
        if value is not None:
            node.SetAttribute(PREFIX + name, value if isinstance(value, str) else json.dumps(value))


def fact(node: Any, name: str) -> str | None:
    """One fact as it was written, or None."""
    value: str | None = node.GetAttribute(PREFIX + name)
    return value


def structured(node: Any, name: str) -> Any:
    """A fact that was not text, or None where it is missing or spoilt."""
    text = fact(node, name)
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def source_of(node: Any) -> Any:
    """The volume node a result is about, or None where it is gone."""
    return node.GetNodeReference(SOURCE_ROLE)


def results_in(scene: Any, kind: Kind, source: Any = None) -> list[Any]:
    """Result nodes of a kind, oldest first; of one source where it is given."""
    found = []
    for i in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(i)
        if fact(node, "kind") == kind and (source is None or source_of(node) is source):
            found.append(node)
    return found


def keep_rows(source: Any, table: Table, rows: list[dict[str, Any]]) -> None:
    """Keep a table's results of a volume in its scene, also those without a heatmap, in place of those before."""
    scene = source.GetScene()
    for node in _rows_nodes(source, table):
        scene.RemoveNode(node)
    if rows:
        node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", f"SimCroP {table}")
        node.SetHideFromEditors(True)
        mark(node, "rows", source, {"table": table, _ROWS[table]: rows})


def kept_rows(source: Any, table: Table) -> list[dict[str, Any]]:
    """The results that `keep_rows` left for a volume; none where they were taken out."""
    rows = [structured(node, _ROWS[table]) for node in _rows_nodes(source, table)]
    return [row for row in rows[0] if isinstance(row, dict)] if rows and isinstance(rows[0], list) else []


def _rows_nodes(source: Any, table: Table) -> list[Any]:
    nodes = results_in(source.GetScene(), "rows", source)
    return [node for node in nodes if fact(node, "table") == table]


def with_nodes(rows: list[dict[str, Any]], found: list[tuple[dict[str, Any], Any]]) -> list[tuple[dict[str, Any], Any]]:
    """Kept rows in their order, each with its node or None, and behind them what else was found."""
    left, ordered = list(found), []
    for row in rows:
        place = next((i for i, (result, _node) in enumerate(left) if result == row), None)
        ordered.append((row, None) if place is None else left.pop(place))
    return ordered + left


def referring(source: Any, class_name: str) -> list[Any]:
    """Nodes of a class that are about a volume, oldest first."""
    scene = source.GetScene()
    nodes = [scene.GetNthNodeByClass(i, class_name) for i in range(scene.GetNumberOfNodesByClass(class_name))]
    return [node for node in nodes if source_of(node) is source]


def holds_text(scene: Any) -> bool:
    """Whether saving this scene would save words of a report."""
    return any(
        fact(node, name)
        for i in range(scene.GetNumberOfNodes())
        for node in (scene.GetNthNode(i),)
        for name in TEXT_ATTRIBUTES
    )


def forget_text(scene: Any) -> int:
    """Take the report's words out of every result, names included; say how many results had some."""
    forgotten = 0
    for i in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(i)
        if any(fact(node, name) for name in TEXT_ATTRIBUTES):
            forgotten += 1
            for name in TEXT_ATTRIBUTES:
                node.RemoveAttribute(PREFIX + name)
            if fact(node, "kind") == "attention":
                _forget_names(node)
            else:
                node.SetName(f"{fact(node, 'kind')} {forgotten}")
    return forgotten


def _forget_names(node: Any) -> None:
    """Segments of attention regions are named after sentences: from now on they are called as their node is."""
    segmentation = node.GetSegmentation()
    for i in range(segmentation.GetNumberOfSegments()):
        segmentation.GetNthSegment(i).SetName(node.GetName())
