"""Which data set a path is."""

from __future__ import annotations

from pathlib import Path

from simcrop_core.errors import UnknownDataSet
from simcrop_training.datasets.csv_pairs import read_csv_pairs
from simcrop_training.datasets.ct_rate import is_ct_rate, read_ct_rate
from simcrop_training.datasets.rexgrounding import with_finding_masks
from simcrop_training.datasets.study import DataSet


def read_data_set(source: Path) -> DataSet:
    """CT-RATE where a folder holds its tables, with ReXGroundingCT's masks where it has them; else a table of pairs.

    Args:
        source: CT-RATE's folder, a CSV file, or a folder with one CSV file in it.

    Raises:
        UnknownDataSet: it is none of them.
        UnreadableFile: a table cannot be read.
    """
    if source.is_dir():
        if is_ct_rate(source):
            return with_finding_masks(read_ct_rate(source), source)
        tables = sorted(source.glob("*.csv"))
        if len(tables) == 1:
            return read_csv_pairs(tables[0])
    elif source.is_file():
        return read_csv_pairs(source)
    raise UnknownDataSet(
        f"{source} is no data set that is read.",
        hint="Give CT-RATE's folder, or a CSV file with the columns path, findings, impression, split.",
    )
