"""Run every part of the benchmark in a process of its own and gather the figures.

A process a part, so that no part inherits another's memory, threads or warm caches (docs/performance.md).
"""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import torch

import simcrop_core
from simcrop_core.benchmark.result import BenchResult, ModelTimes, Percentiles
from simcrop_core.benchmark.scan import write_scan
from simcrop_core.errors import SimCroPError
from simcrop_core.inference.device import compute_dtype, resolve_device
from simcrop_core.progress import Job
from simcrop_core.results import DeviceName

PARTS = ("small", "base", "peers")
_POLL_S = 0.02


def run_benchmark(device: DeviceName, job: Job) -> BenchResult:
    """Measure the packaged model, the paper's model size, and the peers, one after the other.

    Raises:
        SimCroPError: a part failed; its own words are in the message.
        Cancelled: through `job`; the running part is ended.
    """
    resolve_device(device)
    with tempfile.TemporaryDirectory(prefix="simcrop-bench-") as folder:
        scan = Path(folder) / "scan.nii.gz"
        job.step("Measuring", 0, len(PARTS) + 1)
        write_scan(scan)
        figures = {}
        for done, part in enumerate(PARTS, start=1):
            job.step("Measuring", done, len(PARTS) + 1)
            figures[part] = _measured(part, device, scan, job, done)
    job.step("Measuring", len(PARTS) + 1, len(PARTS) + 1)
    return BenchResult(
        small=_times(figures["small"]),
        base=_times(figures["base"]),
        peers=figures["peers"],
        environment=_environment(device),
    )


def _times(figures: dict[str, Any]) -> ModelTimes:
    return ModelTimes(**{**figures, "sentence_ms": Percentiles(**figures["sentence_ms"])})


def _measured(part: str, device: DeviceName, scan: Path, job: Job, done: int) -> dict[str, Any]:
    """One part's figures, with the peak memory of its process as the operating system saw it."""
    command = [sys.executable, "-m", "simcrop_core.benchmark.parts", part, device, str(scan)]
    # Into files: a pipe that nobody reads while the child runs would fill up and stop it.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, stdout=output, stderr=errors) as child:
            try:
                peak = _watched(child, lambda: job.step("Measuring", done, len(PARTS) + 1))
            except BaseException:
                child.kill()
                raise
        if child.returncode != 0:
            errors.seek(0)
            last = errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["it gave no reason"]
            raise SimCroPError(f"The benchmark part {part} failed: {last[0]}", hint="Try --device cpu.")
        output.seek(0)
        figures: dict[str, Any] = json.loads(output.read())
    return {**figures, "peak_mb": round(peak / 2**20)}


def _watched(child: subprocess.Popen[bytes], alive: Any) -> int:
    """Poll the child until it ends: its highest resident memory in bytes."""
    peak = 0
    while child.poll() is None:
        alive()
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, psutil.Process(child.pid).memory_info().rss)
        time.sleep(_POLL_S)
    return peak


def _environment(device: DeviceName) -> dict[str, str]:
    used = resolve_device(device)
    return {
        "simcrop": simcrop_core.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": str(psutil.cpu_count(logical=True)),
        "torch_threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name(used) if used.type == "cuda" else used.type,
        "format": str(compute_dtype(used)).removeprefix("torch."),
    }


def _processor() -> str:
    """The processor's model name, where the system tells it."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
