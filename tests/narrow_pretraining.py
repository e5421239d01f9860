"""A pre-training network around a text encoder without weights, as wide as its patches so that every switch fits."""

from __future__ import annotations

from dataclasses import replace

from simcrop_core.models.config import ReportDecoderConfig, TextConfig
from simcrop_core.models.presets import PRETRAINING_PRESETS

NARROW = replace(
    PRETRAINING_PRESETS["tiny"],
    text=TextConfig(encoder="test", dim=48, max_tokens=32),
    report_dim=48,
    report_decoder=ReportDecoderConfig(vocabulary=64, dim=48, depth=1, heads=2, hidden=96),
    projection="none",
    project_global=False,
)
