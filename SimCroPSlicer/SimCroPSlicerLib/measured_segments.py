"""What the engine labelled, put into the scene together with its measures."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from SimCroPSlicerLib import provenance
from SimCroPSlicerLib.logic import Segmented
from SimCroPSlicerLib.segments import MeanHounsfield, Measure, add_segmentation, fill_table


def add_measured(
    source: Any, task: str, result: Segmented, version: str
) -> Generator[None, None, tuple[Any, list[Measure]]]:
    """Add the segments, and a table of their volumes and densities, in steps that hold no GUI.

    Args:
        source: the CT's volume node.
        task: that the engine was asked.
        result: its answer.
        version: of the engine, for provenance.

    Returns:
        The segmentation node, and the rows of the table, which refers to the CT.
    """
    facts = {
        "task": task,
        "weights": result.weights["name"],
        "weights-sha256": result.weights["sha256"],
        "licence": result.weights["licence"],
        "version": version,
    }
    title = f"{source.GetName()} {task} (SimCroP)"
    node = add_segmentation(source, result.labels, result.names, title=title, facts=facts)
    yield None
    measure = MeanHounsfield(source, result.labels)
    while measure.step():
        yield None
    means = measure.means()
    rows = [(name, result.volume_ml[name], means.get(value)) for value, name in sorted(result.names.items())]
    yield None
    table = source.GetScene().AddNewNodeByClass("vtkMRMLTableNode", f"{title} volumes")
    fill_table(table, rows)
    table.SetNodeReferenceID(provenance.SOURCE_ROLE, source.GetID())
    return node, rows
