"""The two protocols in words, as they are printed with every figure (docs/benchmarks/probe.md)."""

from __future__ import annotations

from collections.abc import Mapping

from simcrop_training.evaluate.probing.clean import CleanSettings
from simcrop_training.evaluate.probing.presets import OfficialSettings

PROTOCOLS: Mapping[str, str] = {
    "official": (
        "The released script's way: a linear head on the mean of the last block's patches, normalised without scale "
        "and shift; the encoder is frozen but in training mode (branches skipped with up to 0.1), every scan is "
        "encoded anew at each step in another random view, and the head of the best validation is kept. Kept: skipped "
        "branches, flips, mirrored padding, a zero position table for the untrained encoder, validation on the test "
        "scans where the lists have no other. Not kept: repeated augmentation, steps past the last one, dropped "
        "geometry. Labels are called from a probability of 0.5 on."
    ),
    "clean": (
        "Features of each scan once, in evaluation mode, after the encoder's last norm, on the frame of the weights; "
        "a penalised logistic regression on standardised features, its penalty and the labels' thresholds chosen on a "
        "fifth of the training patients; the test scans are asked once."
    ),
}


def settings_line(settings: OfficialSettings | CleanSettings) -> str:
    """The settings of either preset in words."""
    if isinstance(settings, CleanSettings):
        strengths = ", ".join(f"{strength:g}" for strength in settings.strengths)
        return f"Inverse penalties tried: {strengths}."
    return (
        f"Rate {settings.learning_rate:g}, {settings.steps} steps, {settings.warm_up} of warm-up, "
        f"{settings.batch} scans a step, weight decay {settings.weight_decay:g}, gradient norm at most "
        f"{settings.clip:g}, ended after {settings.patience} validations without a better one."
    )
