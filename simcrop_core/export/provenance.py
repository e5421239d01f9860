"""What every file says of its own making: the scan, the weights, the software, the checks and the options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

from simcrop_core.results import FindingsResult, GroundResult, SegmentResult


def facts_of(result: GroundResult | FindingsResult | SegmentResult) -> dict[str, str]:
    """Name → value, in a fixed order; nothing of it tells whose scan or which file it was."""
    made, weights = result.made_by, result.weights
    return {
        "scan sha256": made.scan_sha256,
        "weights": weights.name,
        "weights sha256": weights.sha256,
        **made.versions,
        "device": f"{made.device}, {made.precision}",
        "parameters": _pairs(made.parameters),
        "checks": _pairs({finding.code: finding.outcome for finding in result.passport}),
    }


_Result = TypeVar("_Result", GroundResult, FindingsResult)


def with_parameters(result: _Result, **options: bool) -> _Result:
    """The result with the options of its writer among its parameters."""
    parameters = result.made_by.parameters | {name: str(value).lower() for name, value in options.items()}
    return dataclasses.replace(result, made_by=dataclasses.replace(result.made_by, parameters=parameters))


def as_text(facts: Mapping[str, str]) -> str:
    """One fact a line."""
    return "\n".join(f"{name}: {value}" for name, value in facts.items())


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
