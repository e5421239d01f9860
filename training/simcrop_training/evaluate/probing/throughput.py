"""Features computed once beside features computed anew at every step: both ways timed in turn, on the same scans.

The whole of the first is timed. Of the second, which takes days, some steps are, and multiplied by what the released
protocol asks for (docs/benchmarks/probe.md).
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from simcrop_training.datasets.labelled import LabelledScan, require_files
from simcrop_training.evaluate.probing.encoded import Eye, fixed_features, released_eye
from simcrop_training.evaluate.probing.fitted import ProbeRun, fitted
from simcrop_training.evaluate.probing.official import OfficialRun, fit_official
from simcrop_training.evaluate.probing.presets import OFFICIAL, OfficialSettings, Share, Task
from simcrop_training.evaluate.probing.views import fixed_view
from simcrop_training.evaluate.read_ahead import read_ahead

_log = logging.getLogger("simcrop_training")
# Training, validation and test scans of the released lists (docs/benchmark-data.md).
LISTED: Mapping[tuple[Task, Share], tuple[int, int, int]] = {
    ("ct-rate", 1): (464, 3009, 3009),
    ("ct-rate", 10): (4636, 3009, 3009),
    ("ct-rate", 100): (46363, 3009, 3009),
    ("rad-chestct", 10): (229, 984, 360),
    ("rad-chestct", 100): (2286, 984, 360),
    ("cc-ccii", 1): (29, 1243, 1243),
    ("cc-ccii", 10): (290, 1243, 1243),
    ("cc-ccii", 100): (2899, 1243, 1243),
    ("luna16", 10): (62, 267, 267),
    ("luna16", 100): (621, 267, 267),
}
_NEVER = 10**9
_CLOCKS = ("wall", "cpu")


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long something took.

    Attributes:
        wall: by the clock; what other programs do counts.
        cpu: of this program, on all of its threads; what it does on another device does not count.
    """

    wall: float
    cpu: float

    def __truediv__(self, count: int) -> Seconds:
        return Seconds(self.wall / count, self.cpu / count)

    @classmethod
    def since(cls, began: Seconds) -> Seconds:
        """Between `now` and now."""
        now = cls.now()
        return cls(now.wall - began.wall, now.cpu - began.cpu)

    @classmethod
    def now(cls) -> Seconds:
        """Both clocks."""
        return cls(time.perf_counter(), time.process_time())


@dataclass(frozen=True, slots=True)
class Round:
    """Both ways, one after the other.

    Attributes:
        view: a training scan in a step: read, changed at random, encoded, learned from.
        fixed: a validation scan: read and encoded.
        clean: a whole clean probe, from files to answers about the test scans; nothing was kept from before.
        again: the same with another seed, from kept features: the weights loaded, the scans looked up, the fits.
    """

    view: Seconds
    fixed: Seconds
    clean: Seconds
    again: Seconds


@dataclass(frozen=True, slots=True)
class Timed:
    """What was timed.

    Attributes:
        scans: that each clean probe encodes.
        steps: of the released way in a round.
        views: training scans encoded in these.
        rounds: one after the other.
    """

    scans: int
    steps: int
    views: int
    rounds: tuple[Round, ...]

    @property
    def typical(self) -> Round:
        """The median of each figure."""

        def of(name: str) -> Seconds:
            took = [getattr(each, name) for each in self.rounds]
            return Seconds(median(one.wall for one in took), median(one.cpu for one in took))

        return Round(of("view"), of("fixed"), of("clean"), of("again"))

    @property
    def once(self) -> Seconds:
        """A scan encoded once and kept: what a clean probe takes longer than one from kept features, by its scans."""
        clean, again = self.typical.clean, self.typical.again
        return Seconds(clean.wall - again.wall, clean.cpu - again.cpu) / self.scans


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole probe run on lists of some size, from what a scan takes here.

    Attributes:
        task: and share of the lists.
        encoded_anew: scans that the released script encodes.
        encoded_once: scans that the clean probe encodes.
        anew: the first.
        once: the second, its fits as long as here.
    """

    task: str
    encoded_anew: int
    encoded_once: int
    anew: Seconds
    once: Seconds

    @property
    def ratio(self) -> float:
        """How many times longer by the clock."""
        return self.anew.wall / self.once.wall

    @property
    def cpu_ratio(self) -> float:
        """How many times as much computing on the CPU."""
        return self.anew.cpu / self.once.cpu


def timed(run: ProbeRun, settings: OfficialSettings, folder: Path, *, rounds: int, steps: int) -> Timed:
    """Time both ways in turn.

    They share the scans, the weights, the device and the number of reading threads. The seconds of the clean probe hold
    everything that it does, loading the weights and hashing the scans included; those of the released way do not.

    Args:
        run: the clean probe.
        settings: of the released protocol.
        folder: for what is kept; rounds that were kept there before are removed.
        rounds: how often.
        steps: of the released protocol, in each round.

    Raises:
        UnreadableFile: files are missing.
        TaskNotSupported: the released probe is not for this encoder.
        NothingToLearnFrom: no scan can be read.
    """
    require_files(run.data.scans)
    eye = released_eye(run.weights, folder / "fixed", run.device, run.readers)
    # The steps' one validation, at their end, costs nothing: its features are there. This warms everything up, too.
    fixed_features(eye, run.valid)
    short = dataclasses.replace(settings.shortened(steps), first_validation=_NEVER)
    found, scans, views = [], 0, 0
    for number in range(rounds):
        place = folder / f"round-{number}"
        shutil.rmtree(place, ignore_errors=True)
        fixed = _fixed(eye, run.valid)
        anew = OfficialRun(eye, short, run.data.of("train"), run.valid, run.classes, number, place, _NEVER)
        began = Seconds.now()
        views = fit_official(anew).encoded
        view = Seconds.since(began) / views
        clean, scans = _clean(run, place)
        again, _ = _clean(dataclasses.replace(run, seed=run.seed + 1), place)
        found.append(Round(view, fixed, clean, again))
        _log.info("round %d of %d: %s", number + 1, rounds, found[-1])
    return Timed(scans, steps, views, tuple(found))


def whole(timed: Timed, task: str, settings: OfficialSettings, train: int, valid: int, test: int) -> Whole:
    """Both ways to the end of the nominal steps, on lists of this size, at the seconds a scan that were timed.

    Args:
        timed: on whatever scans.
        task: in words.
        settings: of the released protocol.
        train: scans to learn from.
        valid: scans to choose by.
        test: scans to be asked about.
    """
    seen = settings.encodings(train, 0, 0)
    rest = settings.encodings(train, valid, test) - seen
    typical, once, count = timed.typical, timed.once, train + test
    return Whole(
        task,
        seen + rest,
        count,
        Seconds(*(seen * getattr(typical.view, c) + rest * getattr(typical.fixed, c) for c in _CLOCKS)),
        Seconds(*(count * getattr(once, c) + getattr(typical.again, c) for c in _CLOCKS)),
    )


def released_lists(timed: Timed) -> list[Whole]:
    """`whole` for each of the released lists."""
    return [whole(timed, f"{task} {share} %", OFFICIAL[task, share], *sizes) for (task, share), sizes in LISTED.items()]


def _fixed(eye: Eye, scans: Sequence[LabelledScan]) -> Seconds:
    """To read and encode a scan's fixed view, as the released script does after every epoch."""
    eye.encoder.eval()
    began = Seconds.now()
    views = read_ahead(lambda scan: eye.view(scan, lambda volume: fixed_view(volume, eye.frame)), scans, eye.readers)
    with closing(views):
        images = (image for _, image in views if image is not None)
        count = 0
        while few := list(itertools.islice(images, eye.at_once)):
            eye.encode(few)
            count += len(few)
    return Seconds.since(began) / count


def _clean(run: ProbeRun, place: Path) -> tuple[Seconds, int]:
    """From files to answers about the test scans, and how many scans could be read."""
    began = Seconds.now()
    probe = fitted(run, place, place / "features")
    answers = probe.predict(run.data.of("test"))
    return Seconds.since(began), len(run.data.of("train")) - len(probe.skipped) + len(answers.names)
