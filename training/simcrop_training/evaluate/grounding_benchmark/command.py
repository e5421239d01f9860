"""`simcrop-eval ground` and `simcrop-eval audit`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from simcrop_core.results import DeviceName
from simcrop_training.evaluate.grounding_benchmark.cases import MaskedSet, Wanted, read_masked, without_missing
from simcrop_training.evaluate.written import PAGE, RESULTS, write_json, write_text

if TYPE_CHECKING:
    from simcrop_training.evaluate.grounding_benchmark.between import Versus
    from simcrop_training.evaluate.grounding_benchmark.run import Work

_log = logging.getLogger("simcrop_training")
_NAMED = 20


@dataclass
class _Asking:
    """What both commands are told."""

    data: Annotated[Path, tyro.conf.Positional]
    """A folder with ReXGroundingCT's dataset.json and segmentations and CT-RATE's dataset, or a CSV file with the
    columns scan, sentence, mask (and index, kind, patient, split)."""
    output: Path
    """Folder for results.json and results.md, and for what is kept of every scan."""
    weights: tuple[str, ...] = ("starter",)
    """Names, folders or files of the weights; one table each."""
    split: Wanted = "valid"
    """Which scans; a table without that column is all valid."""
    limit: int | None = None
    """The first so many scans only."""
    missing: Literal["stop", "skip"] = "stop"
    """Where scans or masks are missing: stop before anything is computed, or go on without them."""
    device: DeviceName = "auto"
    """Where the models run."""

    def _asked(self) -> MaskedSet:
        data = without_missing(read_masked(self.data, self.split, self.limit), skip=self.missing == "skip")
        for note in data.left_out[:_NAMED]:
            _log.warning("%s is left out: %s", note.name, note.reason)
        if len(data.left_out) > _NAMED:
            _log.warning("%d more are left out: results.json names them.", len(data.left_out) - _NAMED)
        return data

    def _work(self, weights: str) -> Work:
        from simcrop_core.inference.engine import Engine
        from simcrop_training.evaluate.grounding_benchmark.run import Work
        from simcrop_training.evaluate.manifest import weights_sha256

        return Work.of(Engine(weights, self.device), weights_sha256(weights), self.output)

    def _manifest(self, weights: str, data: MaskedSet, more: Mapping[str, object]) -> dict[str, object]:
        from simcrop_training.evaluate.manifest import manifest_of

        return manifest_of(weights, data.identity(), {"split": self.split, "limit": self.limit, **more})

    def _finish(
        self,
        title: str,
        said: str,
        data: MaskedSet,
        models: Sequence[Mapping[str, Any]],
        picture: str = "",
        pairs: Sequence[Versus] = (),
    ) -> None:
        """Write both files; `models` each with weights, manifest, skipped and page; `picture` as Markdown."""
        from simcrop_training.evaluate.grounding_benchmark import between

        lines = [
            f"# {title}",
            "",
            f"{data.name}, split {self.split}: {_counted(data)}.",
            "",
            *_paragraph(data.notice),
            said,
            "",
            *_paragraph(picture),
        ]
        for model in models:
            lines += [f"## {model['weights']}", "", *_skipped(model["skipped"]), model["page"]]
        lines += _paragraph(between.markdown(pairs))
        document = {
            "notice": data.notice,
            "left_out": list(data.left_out),
            "models": [{key: value for key, value in model.items() if key != "page"} for model in models],
            "pairs": list(pairs),
        }
        write_json(self.output / RESULTS, document)
        write_text(self.output / PAGE, "\n".join(lines))
        _log.info("%s\n%s", self.output / PAGE, "\n".join(lines))


@dataclass
class Ground(_Asking):
    """Ask weights for the place of every sentence that has a mask, and set them beside guesses that do not look.

    Stopped, the same command goes on at the scan it was at.
    """

    def run(self) -> None:
        """Encode, measure, write."""
        from simcrop_training.evaluate.grounding_benchmark import between, tables
        from simcrop_training.evaluate.grounding_benchmark.metrics import HIT_DICE, INSTANCE_DICE
        from simcrop_training.evaluate.grounding_benchmark.pictures import Answered, draw_panels
        from simcrop_training.evaluate.grounding_benchmark.run import grounded

        data = self._asked()
        models = []
        answered: list[Answered] = []
        for weights in self.weights:
            work = self._work(weights)
            asked, skipped = grounded(work, data)
            answered.append(Answered(Path(weights).name, work, asked))
            found = tables.groups(asked)
            lowest = work.engine.colour_scale.low
            config = {"benchmark": "ground", "hit_dice": HIT_DICE, "instance_dice": INSTANCE_DICE, "drawn_from": lowest}
            silent = tables.silence(asked)
            page = f"Drawn from cosine {lowest:g} on.\n\n{tables.markdown(found)}"
            if silent["sentences"]:
                page += (
                    f"\nOf {silent['sentences']:.0f} sentences with an empty mask, "
                    f"nothing is drawn for {silent['silent']:.3f}.\n"
                )
            models.append(
                {
                    "weights": weights,
                    "manifest": self._manifest(weights, data, config),
                    "skipped": [dataclasses.asdict(note) for note in skipped],
                    "groups": tables.as_json(found),
                    "empty_masks": silent,
                    "page": page,
                }
            )
        pairs = between.every_two(dict(zip(self.weights, (one.asked for one in answered), strict=True)))
        picture = draw_panels(answered, data, self.output)
        self._finish("Grounding", _GROUND, data, models, picture, pairs)


@dataclass
class Audit(_Asking):
    """Does it look? Change one thing in scan or sentence, ask again, and tell how the answers move.

    Stopped, the same command goes on at the scan it was at.
    """

    def run(self) -> None:
        """Ask, change, ask again, write."""
        from simcrop_training.evaluate.grounding_benchmark import audit_tables
        from simcrop_training.evaluate.grounding_benchmark.run import all_audited

        data = self._asked()
        models = []
        for weights in self.weights:
            work = self._work(weights)
            moved, skipped = all_audited(work, data)
            rows = audit_tables.changes(moved)
            config = {"benchmark": "audit", "top_k": work.engine.config.top_k, "occluded_with": "median of the lungs"}
            models.append(
                {
                    "weights": weights,
                    "manifest": self._manifest(weights, data, config),
                    "skipped": [dataclasses.asdict(note) for note in skipped],
                    "changes": audit_tables.as_json(rows),
                    "page": f"{work.engine.config.top_k} patches make a region.\n\n{audit_tables.markdown(rows)}",
                }
            )
        self._finish("Does it look?", _AUDIT, data, models)


_GROUND = (
    "Every figure is a mean over sentences with its 95 % interval (bootstrap over patients); instances are pooled. "
    "HIT: Dice of 0.1 or more; an instance is found at a Dice of 0.2. Controls are given as many voxels as the model "
    "drew; `chance` and `lungs` are exact expectations. Definitions: docs/benchmarks/grounding.md."
)
_AUDIT = (
    "After less before, mean over sentences that had an answer, with the 95 % interval (bootstrap over patients). Rank "
    "is among 500 reference sentences on the same scan, above 0 is worse; evidence is located 2, weak 1, not located "
    "0. Definitions: docs/benchmarks/grounding.md."
)


def _counted(data: MaskedSet) -> str:
    sentences = sum(len(scan.sentences) for scan in data.scans)
    return f"{sentences} sentences about {len(data.scans)} scans; {len(data.left_out)} scans left out"


def _paragraph(text: str) -> list[str]:
    return [text, ""] if text else []


def _skipped(notes: Sequence[Mapping[str, str]]) -> list[str]:
    if not notes:
        return []
    return [
        f"{len(notes)} scans could not be read:",
        "",
        *(f"- {n['name']}: {n['reason']} ({n['code']})" for n in notes),
        "",
    ]
