"""Rows of the panel's tables as a page takes them."""

from __future__ import annotations

from typing import Any

from SimCroPSlicerLib.rows import Row


def as_row(index: int, row: Row) -> dict[str, Any]:
    """One row: its place, its cells, whether sides conflict, and what the mark means."""
    return {"index": index, "cells": list(row.cells), "conflict": row.conflict, "tip": row.tip}


def as_rows(rows: list[Row]) -> list[dict[str, Any]]:
    """All rows of a table."""
    return [as_row(index, row) for index, row in enumerate(rows)]
