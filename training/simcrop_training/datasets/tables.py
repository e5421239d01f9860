"""CSV tables by the names of their columns."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from simcrop_core.errors import UnknownDataSet, UnreadableFile

# A report of any length is one field.
_LONGEST_FIELD = 2**24


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table that has at least these columns, in any order; white space around names does not count.

    Args:
        path: UTF-8, with or without a byte order mark.
        columns: that must be there.

    Raises:
        UnreadableFile: missing, or not UTF-8 text, or not CSV.
        UnknownDataSet: a column is missing.
    """
    previous = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", restkey="")
            names = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = names
            rows = [{name: value for name, value in row.items() if isinstance(value, str)} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise UnreadableFile(f"The table {path} cannot be read: {fault}.", hint="Save it as CSV in UTF-8.") from fault
    finally:
        csv.field_size_limit(previous)
    missing = [column for column in columns if column not in names]
    if missing:
        raise UnknownDataSet(
            f"The table {path} has no column {', '.join(missing)}; it has {', '.join(names) or 'none'}.",
            hint="docs/training-data.md lists the columns of every table that is read.",
        )
    return rows
