"""What a run writes down: JSON lines and TensorBoard events, and Weights & Biases or MLflow where they are set up."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter


class Sink(Protocol):
    """A place that takes figures and pictures."""

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of a step."""

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """A picture, (rows, columns, 3)."""

    def close(self) -> None:
        """Write out what is still held."""


class TensorBoard:
    """Event files in `output/tensorboard`."""

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """See `Sink`."""
        self._writer.add_image("view", pixels, step, dataformats="HWC")

    def close(self) -> None:
        """See `Sink`."""
        self._writer.close()


class WandB:
    """A run of Weights & Biases; the project is `WANDB_PROJECT`."""

    def __init__(self, folder: Path) -> None:
        import wandb

        self._wandb = wandb
        self._run = wandb.init(dir=str(folder), id=folder.resolve().name, resume="allow")

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        self._run.log(dict(values), step=step)

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """See `Sink`."""
        self._run.log({"view": self._wandb.Image(pixels)}, step=step)

    def close(self) -> None:
        """See `Sink`."""
        self._run.finish()


class MLflow:
    """A run of MLflow at `MLFLOW_TRACKING_URI`."""

    def __init__(self, folder: Path) -> None:
        import mlflow

        self._mlflow = mlflow
        mlflow.start_run(run_name=folder.resolve().name)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        self._mlflow.log_metrics({name.replace(":", "_"): value for name, value in values.items()}, step=step)

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """See `Sink`."""
        self._mlflow.log_image(pixels, f"view-{step:08d}.png")

    def close(self) -> None:
        """See `Sink`."""
        self._mlflow.end_run()


class Log:
    """The log of a run's first process.

    `output/log.jsonl` has one JSON line an event, appended. Where a run was killed and went on, steps after its last
    checkpoint stand there twice; the later line counts.

    Args:
        output: folder of the run.
        step: steps done before.
    """

    def __init__(self, output: Path, step: int) -> None:
        output.mkdir(parents=True, exist_ok=True)
        self._path = output / "log.jsonl"
        self._sinks: list[Sink] = [TensorBoard(output / "tensorboard", step)]
        if "WANDB_PROJECT" in os.environ and importlib.util.find_spec("wandb"):
            self._sinks.append(WandB(output))
        if "MLFLOW_TRACKING_URI" in os.environ and importlib.util.find_spec("mlflow"):
            self._sinks.append(MLflow(output))

    def event(self, **values: Any) -> None:
        """Append a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def figures(self, step: int, values: Mapping[str, float], *, group: str = "") -> None:
        """Append a line with figures of a step, as `group` if that is named, and hand them to every other place."""
        self.event(step=step, **({group: dict(values)} if group else values))
        prefix = f"{group}/" if group else ""
        for sink in self._sinks:
            sink.figures(step, {prefix + name: value for name, value in values.items()})

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """Hand a picture to every place that takes one."""
        for sink in self._sinks:
            sink.picture(step, pixels)

    def close(self) -> None:
        """Write out what is still held."""
        for sink in self._sinks:
            sink.close()
