"""Weights & Biases and MLflow: places outside the run's folder that figures go to, for a user who asks for them."""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import MissingDependency
from simcrop_core.export.atomic import replacing
from simcrop_training.engine.errors import TrackerUnavailable

_log = logging.getLogger("simcrop_training")

TrackerName = Literal["wandb", "mlflow"]
End = Literal["finished", "stopped", "failed"]
"""How a process left a run: at its end, on request (it will go on), or with an error."""

_TITLES: dict[TrackerName, str] = {"wandb": "Weights & Biases", "mlflow": "MLflow"}
_PROJECT = "simcrop"


@dataclass(frozen=True, slots=True)
class Tracking:
    """What leaves a run's folder.

    Attributes:
        names: trackers that get the run's figures and its recipe.
        pictures: whether they get pictures of held-out scans too.
    """

    names: tuple[TrackerName, ...] = ()
    pictures: bool = False

    def require(self) -> None:
        """See that every tracker is installed; none is imported.

        Raises:
            MissingDependency: one is not.
        """
        for name in self.names:
            if importlib.util.find_spec(name) is None:
                raise MissingDependency(
                    f"{_TITLES[name]} is not installed.",
                    hint="pip install 'simcrop[trackers]' brings it; the run's own log has every figure without.",
                )


class Sink(Protocol):
    """A place that takes figures and pictures."""

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of a step."""

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """A picture, (rows, columns, 3)."""

    def close(self, end: End, /) -> None:
        """Write out what is still held, and say how the run ended."""


def start_trackers(tracking: Tracking, folder: Path, recipe: Mapping[str, Any]) -> list[Sink]:
    """Begin the run at every tracker, or go on with the one that `folder` names.

    Args:
        tracking: which.
        folder: of the run; its name is the run's. `folder/wandb-run` and `folder/mlflow-run` keep the trackers' ids.
        recipe: what is learned and how, in plain JSON types.

    Raises:
        MissingDependency: one is not installed.
        TrackerUnavailable: one does not take the run.
    """
    tracking.require()
    kinds: dict[TrackerName, type[WandB | MLflow]] = {"wandb": WandB, "mlflow": MLflow}
    begun: list[Sink] = []
    try:
        for name in dict.fromkeys(tracking.names):
            begun.append(kinds[name](folder, recipe))  # noqa: PERF401
    except TrackerUnavailable:
        for sink in begun:
            sink.close("failed")
        raise
    return begun


class WandB:
    """A run of Weights & Biases, as its own environment says: `WANDB_MODE`, `WANDB_PROJECT` and so on.

    What W&B would collect by itself is left off: the terminal, code, git, the command line, host and user.

    Raises:
        TrackerUnavailable: W&B does not take the run.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, Any]) -> None:
        # Read when the package is imported.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        settings = wandb.Settings(
            console="off", host="", disable_code=True, disable_git=True, x_disable_meta=True, x_save_requirements=False
        )
        kept = folder / "wandb-run"
        run_id = _kept(kept) or _keep(kept, secrets.token_hex(8))
        self._wandb = wandb
        try:
            self._run = wandb.init(
                dir=folder, id=run_id, resume="allow", reinit="create_new", settings=settings,
                project=os.environ.get("WANDB_PROJECT", _PROJECT),
                name=os.environ.get("WANDB_NAME", folder.resolve().name), config=dict(recipe),
            )  # fmt: skip
        except wandb.Error as fault:
            raise TrackerUnavailable(
                f"Weights & Biases does not take the run: {fault}",
                hint=f"`wandb login`, or WANDB_MODE=offline; delete {kept} to begin another run there.",
            ) from fault

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        self._run.log(dict(values), step=step)

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """See `Sink`."""
        self._run.log({"view": self._wandb.Image(pixels)}, step=step)

    def close(self, end: End) -> None:
        """See `Sink`."""
        if end == "stopped":
            self._run.mark_preempting()
        self._run.finish(exit_code=0 if end == "finished" else 1)


class MLflow:
    """A run of MLflow, as its own environment says: `MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME` and so on.

    Figures are sent by MLflow's threads, so that no step waits for the server.

    Raises:
        TrackerUnavailable: MLflow does not take the run.
    """

    _STATUS: Mapping[End, str] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}

    def __init__(self, folder: Path, recipe: Mapping[str, Any]) -> None:
        # MLflow would tell its makers about its use.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException

        self._fault, self._metric = MlflowException, Metric
        kept = folder / "mlflow-run"
        try:
            self._client = mlflow.MlflowClient()
            if earlier := _kept(kept):
                self._run = earlier
                self._client.update_run(earlier, status="RUNNING")
                return
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
            experiment = self._client.get_experiment_by_name(name)
            place = experiment.experiment_id if experiment else self._client.create_experiment(name)
            run = self._client.create_run(place, run_name=folder.resolve().name)
            self._run = _keep(kept, run.info.run_id)
            params = [Param(name, str(value)) for name, value in _flat(recipe)]
            self._client.log_batch(self._run, params=params)
        except MlflowException as fault:
            raise TrackerUnavailable(
                f"MLflow does not take the run: {fault}",
                hint=f"See that MLFLOW_TRACKING_URI names a server; delete {kept} to begin another run there.",
            ) from fault

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        now = time.time_ns() // 10**6
        metrics = [self._metric(name.replace(":", "_"), value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics, synchronous=False)

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """See `Sink`."""
        self._client.log_image(self._run, pixels, key="view", step=step, synchronous=False)

    def close(self, end: End) -> None:
        """See `Sink`."""
        try:
            self._client.set_terminated(self._run, self._STATUS[end])
        except self._fault as fault:
            # The run's checkpoints and its own log are written: nothing is lost that it needs.
            _log.warning("MLflow was not told that the run ended: %s", fault)


def _kept(path: Path) -> str | None:
    return path.read_text(encoding="utf-8").strip() or None if path.is_file() else None


def _keep(path: Path, run_id: str) -> str:
    with replacing(path) as temporary:
        temporary.write_text(run_id, encoding="utf-8")
    return run_id


def _flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested dictionaries by their names joined with dots."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
