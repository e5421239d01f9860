"""What was timed of the two ways to probe, as a page and as JSON."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import torch

from simcrop_training.evaluate.probing.presets import OfficialSettings
from simcrop_training.evaluate.probing.throughput import Seconds, Timed, Whole
from simcrop_training.evaluate.written import head, line

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_MULTIPLIED = (
    "Scans encoded in a whole run, by the seconds a scan above: the protocol's steps and a validation after every "
    "epoch once it begins, against every scan once and the fits as they took here, which grow with the lists. Nothing "
    "of the column `anew` ran to its end. Its step is this project's own of the same protocol; the released script "
    "embeds patches one by one and is slower than that."
)


def machine(device: torch.device) -> str:
    """Where it ran, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} of {os.cpu_count()} threads"


def page(title: str, where: str, timed: Timed, settings: OfficialSettings, own: Whole, listed: Sequence[Whole]) -> str:
    """Both ways beside each other, what was measured before what follows from it.

    Args:
        title: task, scans and weights.
        where: the machine.
        timed: the measurement.
        settings: of the released protocol.
        own: a whole run on the scans at hand.
        listed: whole runs on the released lists.
    """
    typical, rounds = timed.typical, len(timed.rounds)
    lines = [f"# Throughput: {title}", "", f"{where}; {rounds} rounds in turn, medians.", "", "## Measured", ""]
    lines += head(["", "seconds a scan", "volumes/s", "CPU seconds a scan"])
    views = f"{timed.steps} steps, {timed.views} scans a round"
    lines += [
        _rate(f"encoded anew: a training scan in a step ({views})", typical.view),
        _rate("encoded anew: a validation or test scan", typical.fixed),
        _rate(f"encoded once and kept ({timed.scans} scans a round)", timed.once),
    ]
    lines += [
        "",
        f"A whole clean probe of these {timed.scans} scans, files to answers: {_took(typical.clean)}. Another ",
    ]
    lines[-1] += f"seed, from kept features: {_took(typical.again)}."
    lines += ["", "Round by round, seconds by the clock (CPU seconds):", ""]
    names = [field.name for field in dataclasses.fields(typical)]
    lines += head(["round", *names])
    for number, each in enumerate(timed.rounds, 1):
        took = [getattr(each, name) for name in names]
        lines.append(line([str(number), *(f"{one.wall:.2f} ({one.cpu:.2f})" for one in took)]))
    lines += ["", "## Multiplied", "", _MULTIPLIED, ""]
    lines += head(
        ["a whole probe run", "encoded anew", "encoded once", "anew", "once", "anew / once", "by CPU seconds"]
    )
    lines += [_whole(row) for row in (own, *listed)]
    lines += [
        "",
        f"{settings.steps} steps of up to {settings.batch} scans are the protocol's for the scans at hand; so ",
    ]
    lines[-1] += "few of them are each seen very often. The released lists tell more."
    return "\n".join(lines) + "\n"


def _rate(what: str, took: Seconds) -> str:
    return line([what, f"{took.wall:.3f}", f"{1 / took.wall:.2f}", f"{took.cpu:.3f}"])


def _took(took: Seconds) -> str:
    return f"{took.wall:.1f} s, {took.cpu:.1f} CPU s"


def _whole(row: Whole) -> str:
    counts = [f"{row.encoded_anew:,}", f"{row.encoded_once:,}"]
    took = [_duration(row.anew.wall), _duration(row.once.wall)]
    return line([row.task, *counts, *took, f"{row.ratio:.0f}", f"{row.cpu_ratio:.0f}"])


def _duration(seconds: float) -> str:
    for unit, name in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} s"
