"""How fast a run goes, and how much of the machine that is."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

import psutil
import torch

# Dense bfloat16 matrix products, operations a second, from the makers' data sheets (without sparsity).
_PEAKS = {"H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "A6000": 155e12}


def peak_flops(device: torch.device) -> float | None:
    """What a GPU could do at best; None for a CPU and for GPUs not listed."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS.items() if part in name), None)


def memory_gb(device: torch.device) -> float:
    """The most a GPU's allocator has held so far, or what the process holds of the machine's memory."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 1e9
    return float(psutil.Process(os.getpid()).memory_info().rss) / 1e9


@dataclass(slots=True)
class Speed:
    """The speed of the steps since it was last asked.

    Attributes:
        samples: of a step, of all ranks.
        sample_bytes: read for one.
        sample_flops: computed for one; 0 where that is not counted.
        peak_flops: of all devices together, or None.
        device: this rank's.
    """

    samples: int
    sample_bytes: int
    sample_flops: float
    peak_flops: float | None
    device: torch.device
    _since: float = field(default_factory=time.monotonic)
    _waited_s: float = 0.0

    def begin(self) -> None:
        """Start the clock."""
        self._since, self._waited_s = time.monotonic(), 0.0

    def figures(self, steps: int, waited_s: float) -> dict[str, float]:
        """Figures over the last `steps` steps.

        Args:
            steps: since the last call.
            waited_s: for data on this rank, since the run began.

        Returns:
            `samples_s` and `gb_s` of all ranks together, `wait` (share of the time in which this rank waited for data),
            `memory_gb`, and `mfu` (model FLOPs utilisation) where it is known.
        """
        now = time.monotonic()
        took = max(now - self._since, 1e-9)
        rate = steps * self.samples / took
        known = {
            "samples_s": rate,
            "gb_s": rate * self.sample_bytes / 1e9,
            "wait": (waited_s - self._waited_s) / took,
            "memory_gb": memory_gb(self.device),
        }
        if self.peak_flops and self.sample_flops:
            known["mfu"] = rate * self.sample_flops / self.peak_flops
        self._since, self._waited_s = now, waited_s
        return {name: float(f"{value:.4g}") for name, value in known.items()}
