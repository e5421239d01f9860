"""`simcrop weights list`, `import`, `verify` and `convert`: which there are, getting others, trusting them, speed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from simcrop_core.cli.console import say_json, shown_progress
from simcrop_core.cli.options import Flag


@dataclass(frozen=True, slots=True)
class WeightsList:
    """The weights that can be used by name, with licence, training data and sha256."""

    json: Flag = False
    """Print the result as JSON (docs/weights.md)."""

    def run(self) -> int:
        """Read the description of every set of weights."""
        from simcrop_core.cli.weights_tables import say_weights
        from simcrop_core.models.describe import describe_weights
        from simcrop_core.models.registry import list_weights, weights_home

        sets = [describe_weights(folder) for folder in list_weights()]
        if self.json:
            rows = [dataclasses.asdict(weights) for weights in sets]
            say_json({"schema": "simcrop.weights-list/1", "home": str(weights_home()), "weights": rows})
        else:
            say_weights(sets, weights_home())
        return 0


@dataclass(frozen=True, slots=True)
class WeightsImport:
    """Convert a checkpoint once, safely, into weights with a name.

    Read are the released SimCroP encoder and fine-tuned UNETR, MAE-style 2D encoders, M3D-CLIP's image encoder, and
    BERT sentence encoders, from .pth, .pt, .bin and .safetensors files. A pickled file is opened in a process of its
    own that accepts tensors and plain values only. Every key of the file is accounted for; a model with missing parts
    is refused.
    """

    source: Annotated[Path, Positional]
    """The checkpoint, or the folder of a sentence encoder (config.json, vocab.txt, model)."""
    name: str
    """What to call the weights. An existing set grows a part that it does not have yet."""
    format: Literal["auto", "simcrop", "mae", "unetr", "m3d", "cxr-bert"] = "auto"
    """What the file is; auto tells it from the keys."""
    text: Path | None = None
    """Folder of the sentence encoder that the checkpoint was trained with."""
    replace: Flag = False
    """Put the new part in the place of the one that the set already has."""
    json: Flag = False
    """Print the result as JSON (docs/weights.md)."""

    def run(self) -> int:
        """Import the file, and say what became of its keys and what its licence asks for."""
        from simcrop_core.cli.weights_tables import say_import
        from simcrop_core.models.describe import describe_weights
        from simcrop_core.models.importers.install import import_weights

        with shown_progress() as job:
            installed = import_weights(
                self.source, name=self.name, source_format=self.format, text=self.text, replace=self.replace, job=job
            )
        if self.json:
            weights = dataclasses.asdict(describe_weights(installed.folder))
            reports = [dataclasses.asdict(report) for report in installed.reports]
            say_json({"schema": "simcrop.weights-import/1", "weights": weights, "reports": reports})
        else:
            say_import(installed)
        return 0


@dataclass(frozen=True, slots=True)
class WeightsVerify:
    """Read every byte of a set of weights and check it: sha256, configuration, numbers, reference sentences."""

    weights: Annotated[str, Positional] = "starter"
    """Name, folder or file of the weights."""
    json: Flag = False
    """Print the result as JSON (docs/weights.md)."""

    def run(self) -> int:
        """Check the weights; exit code 1 if a check fails."""
        from simcrop_core.cli.weights_tables import say_checks
        from simcrop_core.models.checksum import sentences_sha256
        from simcrop_core.models.registry import resolve_weights
        from simcrop_core.models.verify import verify_weights
        from simcrop_core.text.reference import reference_sentences

        folder = resolve_weights(self.weights)
        with shown_progress() as job:
            checks = verify_weights(folder, reference_sha256=sentences_sha256(reference_sentences()), job=job)
        sound = all(check.passed is not False for check in checks)
        if self.json:
            rows = [dataclasses.asdict(check) for check in checks]
            say_json({"schema": "simcrop.weights-verify/1", "name": folder.name, "sound": sound, "checks": rows})
        else:
            say_checks(folder.name, checks, sound=sound)
        return 0 if sound else 1


@dataclass(frozen=True, slots=True)
class WeightsConvert:
    """Write the image encoder of weights in OpenVINO's form, which every command and service then uses on a CPU.

    It pays for encoders of `base`'s size: two to three times as fast as torch (docs/performance.md).
    """

    weights: Annotated[str, Positional]
    """Name, folder or file of the weights."""
    json: Flag = False
    """Print the result as JSON (docs/weights.md)."""

    def run(self) -> int:
        """Convert the weights, and say where the result is kept."""
        from simcrop_core.cli.weights_tables import say_conversion
        from simcrop_core.inference.openvino import convert_encoder
        from simcrop_core.models.registry import resolve_weights

        folder = resolve_weights(self.weights)
        with shown_progress() as job:
            file = convert_encoder(folder, job)
        if self.json:
            say_json({"schema": "simcrop.weights-convert/1", "name": folder.name, "file": str(file)})
        else:
            say_conversion(folder.name, file)
        return 0
