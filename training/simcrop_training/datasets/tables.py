"""CSV tables by the names of their columns, and lists in JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from simcrop_core.errors import UnknownDataSet, UnreadableFile

# A report of any length is one field.
_LONGEST_FIELD = 2**24


@contextmanager
def opened_table(path: Path) -> Iterator[TextIO]:
    """The text of a table, with fields of any length, and the faults of reading it as a named error.

    Raises:
        UnreadableFile: missing, or not UTF-8 text, or not CSV.
    """
    previous = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise UnreadableFile(f"The table {path} cannot be read: {fault}.", hint="Save it as CSV in UTF-8.") from fault
    finally:
        csv.field_size_limit(previous)


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON document that is an object.

    Raises:
        UnreadableFile: missing, or not JSON in UTF-8.
        UnknownDataSet: it is something else than an object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise UnreadableFile(f"The list {path} cannot be read: {fault}.", hint="Save it as JSON in UTF-8.") from fault
    if not isinstance(document, dict):
        raise UnknownDataSet(f"{path} is no list of scans.", hint="It is an object with the key `training`.")
    return document


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table that has at least these columns, in any order; white space around names does not count.

    Args:
        path: UTF-8, with or without a byte order mark.
        columns: that must be there.

    Raises:
        UnreadableFile: missing, or not UTF-8 text, or not CSV.
        UnknownDataSet: a column is missing.
    """
    with opened_table(path) as file:
        reader = csv.DictReader(file, restval="", restkey="")
        names = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = names
        rows = [{name: value for name, value in row.items() if isinstance(value, str)} for row in reader]
    missing = [column for column in columns if column not in names]
    if missing:
        raise UnknownDataSet(
            f"The table {path} has no column {', '.join(missing)}; it has {', '.join(names) or 'none'}.",
            hint="docs/training-data.md lists the columns of every table that is read.",
        )
    return rows
