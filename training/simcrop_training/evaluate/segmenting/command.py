"""`simcrop-eval finetune` and `simcrop-eval segment`."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from simcrop_core.cli.options import Flag
from simcrop_core.results import DeviceName
from simcrop_training.evaluate.paired import Pair
from simcrop_training.evaluate.segmenting.presets import PresetName, TaskName
from simcrop_training.evaluate.written import LABELS, PAGE, RESULTS, write_json, write_labels, write_text

_log = logging.getLogger("simcrop_training")
Triple = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass
class Finetune:
    """Fine-tune a UNETR from any image encoder; the weights it writes are for `simcrop segment` and the Slicer module.

    The same command goes on where a stopped one was. Under torchrun all processes share the work.
    """

    scans: Annotated[Path, tyro.conf.Positional]
    """A list in the Medical Decathlon's form (JSON), or the folder of LUNA16 or BTCV."""
    output: Path
    """Checkpoints, log, and segmentation.safetensors at the end: give this folder to --weights."""
    encoder: str = "random"
    """Weights to start from: name, folder or file; `random` for none."""
    preset: PresetName = "clean"
    """official: as the released code, its quirks kept; clean: without them (docs/benchmarks/segmentation.md)."""
    task: TaskName | None = None
    """luna16 (lungs and trachea) or btcv (13 organs); none for any other list."""
    percent: Literal[1, 10, 100] = 100
    """Of the training scans."""
    data: Path | None = None
    """The folder that the list's paths are relative to, where it is not the list's own."""
    epochs: int | None = None
    """Instead of the preset's."""
    steps: int | None = None
    """Instead of epochs: about so many steps, whole epochs."""
    crops: int | None = None
    """Crops of a scan and step, instead of the preset's 16."""
    window: Triple | None = None
    """Voxels of a crop, instead of 96 96 48."""
    spacing: Spacing | None = None
    """In mm, instead of the preset's."""
    validate_every: int | None = None
    """Epochs between looks at the validation scans, instead of the preset's."""
    feature_size: int | None = None
    """Channels of the decoder at full resolution, instead of 16."""
    at_once: int = 1
    """Crops computed together: more is faster on a GPU and takes more of its memory."""
    precision: Literal["bf16", "float32"] = "bf16"
    """Of the layers while training."""
    seed: int = 0
    """Of initialisation, orders, crops and what is held out."""
    threads: int = 0
    """CPU threads; 0 leaves it to PyTorch."""
    prepared: Path | None = None
    """Where scans on the model's grid are kept, to be shared by several runs [default: in the output folder]."""

    def run(self) -> None:
        """Train and export."""
        import torch

        from simcrop_training.engine.ranks import joined_ranks
        from simcrop_training.evaluate.segmenting.datalist import read_scans, splits_of
        from simcrop_training.evaluate.segmenting.finetune import finetune
        from simcrop_training.evaluate.segmenting.network import read_encoder
        from simcrop_training.evaluate.segmenting.presets import changed, protocol_of

        if self.threads:
            torch.set_num_threads(self.threads)
        protocol = changed(
            protocol_of(self.preset, self.task, self.percent), epochs=self.epochs, crops=self.crops, window=self.window,
            spacing_mm=self.spacing, validate_every=self.validate_every, feature_size=self.feature_size,
        )  # fmt: skip
        data, synthetic = read_scans(self.scans, self.task, self.data)
        splits = splits_of(data, self.preset, percent=self.percent, seed=self.seed, synthetic=synthetic)
        with joined_ranks() as ranks:
            _log.setLevel(logging.INFO if ranks.first else logging.WARNING)
            done = finetune(
                splits, protocol, read_encoder(self.encoder), self.output,
                task="lungs" if self.task == "luna16" else "organs", seed=self.seed, precision=self.precision,
                at_once=self.at_once, steps=self.steps, prepared=self.prepared, ranks=ranks,
            )  # fmt: skip
        if done.outcome.signal is not None:
            _log.info("Saved at step %d and stopped; the same command goes on.", done.outcome.step)
            sys.exit(128 + done.outcome.signal)
        if done.weights is not None:
            _log.info("%s after %d steps; %d scans left out.", done.weights, done.outcome.step, len(done.left_out))


@dataclass
class Segment:
    """Score segmentation weights against label maps: Dice, surface Dice and distances, by label and by scan.

    The same command goes on at the scan where a stopped one was.
    """

    weights: Annotated[str, tyro.conf.Positional]
    """Name, folder or file; such as the output folder of `simcrop-eval finetune`."""
    scans: Path
    """A list in the Medical Decathlon's form (JSON), or the folder of LUNA16 or BTCV."""
    output: Path
    """results.json, results.md, labels.csv, and a JSON a scan."""
    presets: tuple[PresetName, ...] = ("official", "clean")
    """official: on the model's grid, as released; clean: on the scan's own voxels."""
    task: TaskName | None = None
    """luna16 (lungs and trachea) or btcv (13 organs); none for any other list."""
    percent: Literal[1, 10, 100] = 100
    """Of the training scans that the weights were fine-tuned on; names the column of the table."""
    data: Path | None = None
    """The folder that the list's paths are relative to, where it is not the list's own."""
    against: tuple[Path, ...] = ()
    """Outputs of other weights on the same scans: differences of Dice, paired scan by scan."""
    surfaces: Flag = True
    """Measure surfaces too; --no-surfaces saves seconds to minutes a scan."""
    seed: int = 0
    """Of what is held out; the one that was fine-tuned with."""
    device: DeviceName = "auto"
    """Where the model runs."""

    def run(self) -> None:
        """Score, measure, write."""
        from simcrop_training.evaluate.manifest import manifest_of
        from simcrop_training.evaluate.origin import segmentation_origin
        from simcrop_training.evaluate.segmenting import table
        from simcrop_training.evaluate.segmenting.against import pairs_with
        from simcrop_training.evaluate.segmenting.datalist import read_scans, splits_of
        from simcrop_training.evaluate.segmenting.presets import protocol_of
        from simcrop_training.evaluate.segmenting.score import score
        from simcrop_training.evaluate.summary import as_json

        data, synthetic = read_scans(self.scans, self.task, self.data)
        parts, entries = [], []
        origin = segmentation_origin(self.weights)
        for preset in self.presets:
            splits = splits_of(data, preset, percent=self.percent, seed=self.seed, synthetic=synthetic)
            protocol = protocol_of(preset, self.task, self.percent)
            scored = score(self.weights, splits, protocol, self.output, device=self.device, surfaces=self.surfaces)
            figures = table.figures_of(scored)
            parts.append((protocol, splits, scored, figures))
            entries.append(table.entry_of(figures, splits, protocol, origin=origin, column=self._column(splits.name)))
        name = Path(self.weights).name
        pairs: dict[str, list[Pair]] = {p.name: pairs_with(name, scored, self.against, p) for p, _, scored, _ in parts}
        text = table.page(name, parts, pairs)
        config = {"seed": self.seed, "presets": {p.name: p.to_dict() for p, *_ in parts}}
        described: dict[str, object] = {p.name: splits.described() for p, splits, *_ in parts}
        write_json(
            self.output / RESULTS,
            {
                "schema": "simcrop.segmentation-scores/1",
                "manifest": manifest_of(self.weights, described, config),
                "entries": as_json(entries),
                "figures": {p.name: figures for p, _, _, figures in parts},
                "paired": pairs,
                "left_out": {p.name: [[n.name, n.code, n.reason] for n in s.left_out] for p, _, s, _ in parts},
            },
        )
        write_labels(
            self.output / LABELS,
            [
                ({"model": origin.model, "protocol": p.name}, list(map(table.LabelRow.of, figures.labels)))
                for p, _, _, figures in parts
            ],
        )
        write_text(self.output / PAGE, text)
        _log.info("%s\n%s", self.output / PAGE, text)

    def _column(self, name: str) -> str:
        """As the published table calls the task."""
        return f"luna16 {self.percent} %" if self.task == "luna16" else self.task or name
