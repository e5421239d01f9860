"""A result as a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from simcrop_core.export.atomic import replacing
from simcrop_core.results import as_json


def write_json(path: str | Path, result: Any) -> None:
    """Write one of the results of `simcrop_core.results`, in the form of docs/schema/.

    Raises:
        CannotWrite: the file cannot be written.
    """
    text = json.dumps(as_json(result), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")
