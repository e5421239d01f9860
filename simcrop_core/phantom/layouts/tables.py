"""Tables and JSON documents as files: whole or not there, the same bytes on every system."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simcrop_core.export.atomic import replacing


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table; what a row does not have is left empty.

    Raises:
        CannotWrite: the file cannot be written.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    _write(path, text.getvalue())


def write_json_file(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document.

    Raises:
        CannotWrite: the file cannot be written.
    """
    _write(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
