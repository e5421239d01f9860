"""`simcrop-eval suite`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from simcrop_core.cli.options import whole_number
from simcrop_core.errors import CannotWrite, SimCroPError
from simcrop_core.results import DeviceName

if TYPE_CHECKING:
    from simcrop_training.evaluate.suite.kept import Kept
    from simcrop_training.evaluate.suite.parts import Part

_log = logging.getLogger("simcrop_training")
_Count = whole_number(at_least=1)


class NotAllDone(SimCroPError):
    """Parts of the suite ended with faults; the page says which."""

    code = "not-all-done"


@dataclass(kw_only=True)
class Suite:
    """Every benchmark on phantoms in the form of each data set, for several models, and one page of what came out.

    Synthetic data: it shows that everything runs and how figures read, not how good a model is. Stopped, the same
    command goes on at the part, and within it, that it was at.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """A new folder, or one that this command made: phantoms, weights, results, and the page index.html (index.md)."""
    methods: tuple[str, ...] = ("random", "simcrop", "simcrop_plus")
    """Trained here, for a few steps of a small network, unless --weights has them."""
    weights: tuple[str, ...] = ()
    """NAME=FOLDER: weights of a method, or more columns; the packaged starter weights are always there."""
    scans: Annotated[int, whole_number(at_least=6)] = 40
    """CT-RATE's phantoms; the other sets have a half or a fifth as many."""
    train_steps: Annotated[int, _Count] = 120
    """Of each method."""
    probe_steps: Annotated[int, _Count] = 2
    """Of the official probe, which encodes all training scans again at each."""
    finetune_steps: Annotated[int, _Count] = 40
    """Of each segmentation model."""
    audited: Annotated[int, whole_number(at_least=2)] = 3
    """Scans that are changed and asked again."""
    workers: Annotated[int, _Count] = 2
    """Processes that draw phantoms; threads that read scans."""
    threads: Annotated[int, _Count] = 2
    """CPU threads of a network."""
    device: DeviceName = "auto"
    """Where models run; training takes what it finds."""

    def run(self) -> None:
        """Do every part that is not done, and write the page after each."""
        import torch

        from simcrop_training.evaluate.suite import parts as plan
        from simcrop_training.evaluate.suite.kept import Kept
        from simcrop_training.evaluate.suite.report import HTML, write_report
        from simcrop_training.evaluate.suite.settings import Size, identity_of, models_of

        torch.set_num_threads(self.threads)
        size = Size(self.scans, self.train_steps, self.probe_steps, self.finetune_steps, self.audited)
        models = models_of(self.methods, self.weights, self.folder)
        kept = Kept(self.folder, identity_of(size, models))
        parts = plan.Suite(self.folder, size, models, self.device, self.workers, self.threads).parts()
        quiet = _OneLine()
        _log.addFilter(quiet)
        try:
            for number, part in enumerate(parts, start=1):
                if not kept.finished(part.key):
                    _log.info("[%d of %d] %s", number, len(parts), part.title)
                    _done(part, kept)
                    write_report(self.folder, size, models, kept.parts, len(parts))
            write_report(self.folder, size, models, kept.parts, len(parts))
        finally:
            _log.removeFilter(quiet)
        _log.info("%s", self.folder / HTML)
        faults = [f"{part.title}: {part.fault}" for part in kept.parts.values() if part.fault]
        if faults:
            raise NotAllDone(
                f"{len(faults)} parts could not be done: {'; '.join(faults)}",
                hint="The page has the others; the same command tries these again.",
            )


def _done(part: Part, kept: Kept) -> None:
    """Do a part; a fault is kept and the others go on, but where nothing can be written nothing goes on."""
    with kept.timed(part.key, part.title) as done:
        try:
            done.reasons = part.run()
            done.finished = True
        except CannotWrite:
            raise
        except SimCroPError as fault:
            done.fault = f"{fault.message} ({fault.code})"
            _log.warning("%s: %s", part.title, done.fault)


class _OneLine(logging.Filter):
    """Leaves the pages of single commands out of the log: they are files, and this command's page has what they say."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is said."""
        return record.levelno > logging.INFO or "\n" not in record.getMessage()
