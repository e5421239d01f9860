"""What can stop a run, by name."""

from __future__ import annotations

from simcrop_core.errors import SimCroPError


class UnsuitableRanks(SimCroPError):
    """The step cannot be shared by so many processes."""

    code = "unsuitable-ranks"


class Diverged(SimCroPError):
    """Too many steps in a row had no finite gradient."""

    code = "diverged"


class UnusableCheckpoints(SimCroPError):
    """There are checkpoints, but none can be gone on from."""

    code = "unusable-checkpoints"


class UnusableRecipe(SimCroPError):
    """There is no such recipe, or it says what no recipe can say."""

    code = "unusable-recipe"


class NothingToLearnFrom(SimCroPError):
    """A folder named has no samples, or a store no studies to train on."""

    code = "nothing-to-learn-from"


class UnreadData(SimCroPError):
    """Data were named that the method does not read."""

    code = "unread-data"


class UnusableExpertBank(SimCroPError):
    """A file is no bank of an X-ray expert, or one that does not fit the run."""

    code = "unusable-expert-bank"


class NoOrganMaps(SimCroPError):
    """A method that looks at organs was given scans without label maps of them."""

    code = "no-organ-maps"


class UnusableOrganTexts(SimCroPError):
    """What reports say of organs cannot be taken from the files named."""

    code = "unusable-organ-texts"


class TrackerUnavailable(SimCroPError):
    """Weights & Biases or MLflow was asked for and does not take the run."""

    code = "tracker-unavailable"
