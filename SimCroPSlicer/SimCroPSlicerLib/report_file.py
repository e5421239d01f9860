"""The words of a report out of a file: plain text, JSON, or a DICOM structured report."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from simcrop_core.errors import UnreadableFile

_LARGEST = 5 << 20
_JSON_KEYS = ("report", "text", "findings", "impression")
# What pydicom raises of damaged files beside its own errors, some of it only when an item is looked at.
_DAMAGED = (OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, struct.error)


def report_text(path: Path) -> str:
    """A report's text.

    Args:
        path: .txt; .json with `report`, `text`, `findings` or `impression`, or as simcrop writes it; or DICOM SR.

    Raises:
        UnreadableFile: it is missing, too large, or holds no text.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise UnreadableFile(f"{path.name} is too large for a report.", hint="Choose a text file.")
        raw = path.read_bytes()
    except OSError as fault:
        raise UnreadableFile(f"{path.name} cannot be read: {fault.strerror}.", hint="Choose another file.") from fault
    if raw[128:132] == b"DICM":
        text = _dicom_text(path)
    else:
        text = _decoded(raw, path)
        if path.suffix.lower() == ".json":
            text = _json_text(text, path)
    if not text.strip():
        raise UnreadableFile(f"{path.name} holds no text of a report.", hint="Choose another file, or paste the text.")
    return text


def _decoded(raw: bytes, path: Path) -> str:
    for encoding in ("utf-8-sig", "utf-16") if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UnreadableFile(f"{path.name} is no text file.", hint="Save the report as UTF-8 text.")


def _json_text(text: str, path: Path) -> str:
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise UnreadableFile(f"{path.name} is no JSON.", hint="Choose another file, or paste the text.") from fault
    if isinstance(document, str):
        return document
    if isinstance(document, dict):
        if isinstance(document.get("sentences"), list):
            document = document["sentences"]
        else:
            return "\n\n".join(str(document[key]) for key in _JSON_KEYS if isinstance(document.get(key), str))
    if isinstance(document, list):
        texts = (entry.get("text") if isinstance(entry, dict) else entry for entry in document)
        return "\n".join(text for text in texts if isinstance(text, str))
    return ""


def _dicom_text(path: Path) -> str:
    """The text items of a structured report, in the order of its tree, each below its concept's name."""
    # Slicer has pydicom; the panel's other parts do without it.
    import pydicom
    from pydicom.errors import BytesLengthException, InvalidDicomError

    lines: list[str] = []
    try:
        _collect(pydicom.dcmread(path, stop_before_pixels=True), lines)
    except (InvalidDicomError, BytesLengthException, *_DAMAGED) as fault:
        raise UnreadableFile(f"{path.name} cannot be read as DICOM.", hint="Choose another file.") from fault
    return "\n".join(lines)


def _collect(item: Any, lines: list[str]) -> None:
    for child in item.get("ContentSequence", ()):
        if child.get("ValueType") == "TEXT":
            names = child.get("ConceptNameCodeSequence", ())
            heading = str(names[0].get("CodeMeaning", "")) if names else ""
            value = str(child.get("TextValue", ""))
            lines.append(f"{heading}: {value}" if heading else value)
        _collect(child, lines)
