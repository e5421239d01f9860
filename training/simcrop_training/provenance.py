"""Where a run's numbers come from, in words that go with the weights: data, licence, and what it began with."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcrop_core.models.checksum import sha256_of
from simcrop_core.models.config import EncoderConfig
from simcrop_core.models.weights_metadata import Provenance, WeightsMetadata, read_metadata
from simcrop_core.phantom.layouts.settings import NOTICE
from simcrop_training.data.sample import sample_paths
from simcrop_training.engine.loop import Outcome
from simcrop_training.recipe import Data, Recipe, identity_of
from simcrop_training.store.store import Store

_LICENCE = "Apache-2.0"
# By what the names of their samples begin with (`data.real`).
_REAL = {
    "real-cip-": "CIP ct-64 (Chest Imaging Platform, BSD style)",
    "real-lung-": "Lung-PET-CT-Dx A0002 (CC BY 4.0)",
    "real-totalsegmentator-": "TotalSegmentator test CT (Apache-2.0)",
}


@dataclass(frozen=True, slots=True)
class Start:
    """The weights whose image encoder a run begins with.

    Attributes:
        name: of the set of weights.
        provenance: where they come from.
        file: its name.
        sha256: of the file.
        method: that trained them; None where nobody says.
    """

    name: str
    provenance: Provenance
    file: str
    sha256: str
    method: str | None = None

    @property
    def training(self) -> str:
        """What they share with other seeds of the same training; of weights that do not say, with themselves alone."""
        return self.provenance.training or self.sha256


def start_of(path: Path) -> Start:
    """Read what a weights file says of itself.

    Raises:
        UnknownWeights: no such file, or one that does not say under which licence it may be used.
        IncompatibleWeights: a format or kind that this version does not know.
    """
    metadata = read_metadata(path)
    return Start(metadata.name, metadata.provenance, path.name, sha256_of(path), method_of(metadata))


def method_of(metadata: WeightsMetadata) -> str | None:
    """The method that trained weights; None where the file does not say."""
    return metadata.config.method if isinstance(metadata.config, EncoderConfig) else metadata.provenance.method


def training_of(settings: Mapping[str, Any], steps: int, start: str | None) -> str:
    """A hash that two runs share if only their seeds, and thus what was drawn, differ.

    Args:
        settings: everything that the run follows from; its `seed` is left out of the hash.
        steps: that were taken.
        start: `Start.training` of what it began with; None for nothing.
    """
    told = {key: value for key, value in settings.items() if key != "seed"}
    return hashlib.sha256(json.dumps([told, steps, start], sort_keys=True).encode()).hexdigest()


def provenance_of(
    recipe: Recipe,
    data: Data,
    outcome: Outcome,
    *,
    learned: bool = True,
    remark: str = "",
    start: Start | None = None,
) -> Provenance:
    """Where the run's numbers come from.

    Args:
        recipe: of the run.
        data: that it was given.
        outcome: where it stopped.
        learned: whether its method learns anything.
        remark: sentences of the method, behind what it was trained on.
        start: what it began with; its licence and what it was trained on hold for what came of it, too.
    """
    own = _not_trained(recipe, outcome)
    if learned:
        own = _from_samples(recipe, data, outcome) if data.store is None else _from_store(recipe, data.store, outcome)
    whole = own if start is None else _with_start(own, start, learned=learned)
    settings = {"recipe": identity_of(dataclasses.replace(recipe, seed=0)), "data": whole.data}
    return dataclasses.replace(
        whole,
        trained_on=f"{whole.trained_on} {remark}".rstrip(),
        method=recipe.objective,
        training=training_of(settings, outcome.step, start.training if start else None),
    )


def _not_trained(recipe: Recipe, outcome: Outcome) -> Provenance:
    return Provenance(_LICENCE, "Not trained: random numbers.", synthetic=True, **_how(recipe, outcome))


def _from_samples(recipe: Recipe, data: Data, outcome: Outcome) -> Provenance:
    synthetic, names = len(sample_paths(data.synthetic)), [path.name for path in sample_paths(data.real)]
    real, words = len(names), "synthetic CTs"
    if real:
        seen = [scan for begin, scan in _REAL.items() if any(name.startswith(begin) for name in names)]
        words += f" plus {len(seen)} real scans with findings drawn into them: {'; '.join(seen)}"
    return Provenance(
        licence=_LICENCE,
        trained_on=f"Trained on {words}, never on a hospital report.",
        synthetic=not real,
        data=f"{synthetic} phantoms, {real} samples of real scans",
        **_how(recipe, outcome),
    )


def _from_store(recipe: Recipe, folder: Path, outcome: Outcome) -> Provenance:
    """Weights inherit the terms of the data set behind a store."""
    store = Store.open(folder)
    synthetic = store.terms == NOTICE
    scans = sum(len(study.volumes) for study in store.studies if study.split == "train")
    return Provenance(
        licence=_LICENCE if synthetic else store.terms,
        trained_on=f"Trained on {scans} scans of {store.data_set} with their reports.",
        synthetic=synthetic,
        data=f"{store.data_set}: {scans} scans",
        **_how(recipe, outcome),
    )


def _with_start(own: Provenance, start: Start, *, learned: bool) -> Provenance:
    """Both licences where they differ: ours adds nothing to another's. Of the data, what either has seen."""
    before = start.provenance
    licences = [terms for terms in dict.fromkeys([own.licence, before.licence]) if terms != _LICENCE] or [_LICENCE]
    trained_on = own.trained_on
    if not learned:
        trained_on = f"Not trained further: the image encoder is that of {start.name}. {before.trained_on}"
    elif before.trained_on != own.trained_on:
        # What this run has never seen may be what the other was trained on.
        said = trained_on.replace(", never on a hospital report", "")
        trained_on = f"{said} The image encoder began as that of {start.name}: {before.trained_on}"
    return dataclasses.replace(
        own,
        licence="; ".join(licences),
        trained_on=trained_on,
        synthetic=own.synthetic and before.synthetic,
        notes=(*before.notes, f"The image encoder began as that of {start.file}, sha256 {start.sha256}."),
    )


def _how(recipe: Recipe, outcome: Outcome) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "steps": outcome.step,
        "wall_time_s": round(outcome.seconds, 1),
        "git_commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "metrics": {name: round(value, 4) for name, value in outcome.metrics.items()},
    }


def _commit() -> str | None:
    """The code's git commit, "+" behind it if files differ; None outside a repository."""
    here = Path(__file__).parent
    try:
        commit, changes = (
            subprocess.run(["git", "-C", here, *args], capture_output=True, text=True, check=True).stdout.strip()
            for args in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changes else "")
