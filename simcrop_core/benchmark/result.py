"""The contract of `simcrop bench`: how fast this machine is (docs/schema/bench.json)."""

from __future__ import annotations

from dataclasses import dataclass

BENCH_SCHEMA = "simcrop.bench/1"


@dataclass(frozen=True, slots=True)
class Percentiles:
    """The median of repeated measurements, and what 95 of 100 stay below."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class ModelTimes:
    """What one model costs on one machine.

    Attributes:
        sentence_ms: one sentence on a scan that is already encoded, text embedding included.
        encode_s: one frame through the image encoder.
        read_frame_s: from the file to the model frame.
        read_frame_mb: how much the process grew meanwhile, 2²⁰ bytes.
        segment_s: a 336 mm cube.
        peak_mb: the largest resident memory of the process that measured all of these, 2²⁰ bytes.
        encode_cosine_to_float32: least cosine of a patch feature with the same in float32; None where not compared.
    """

    sentence_ms: Percentiles
    encode_s: float
    read_frame_s: float
    read_frame_mb: float
    segment_s: float
    peak_mb: float
    encode_cosine_to_float32: float | None = None


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What `simcrop bench --json` prints.

    Attributes:
        environment: the machine and its software as short text; without it the times mean nothing.
        small: the embedded model.
        base: the paper's network.
        peers: the released network and MONAI's preprocessing in the same run, named as in `ModelTimes`.
    """

    environment: dict[str, str]
    small: ModelTimes
    base: ModelTimes
    peers: dict[str, float]
    schema: str = BENCH_SCHEMA
