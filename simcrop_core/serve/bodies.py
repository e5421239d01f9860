"""The bodies of requests and the short answers, as OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from simcrop_core.errors import NothingToGround
from simcrop_core.results import PassportFinding, VolumeInfo
from simcrop_core.text.report import Statement, parse_report, parse_sentence

LONGEST_REPORT = 100_000
LONGEST_SENTENCE = 4_000
MOST_SENTENCES = 1_000

_Coordinate = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Sentence(_Body):
    """One sentence, and the heading of the report that it stands under."""

    text: str = Field(max_length=LONGEST_SENTENCE)
    heading: str = Field("", max_length=LONGEST_SENTENCE)


class Text(_Body):
    """Sentences, or a whole report, or both: then the sentences come first."""

    sentences: list[Sentence] | None = Field(None, max_length=MOST_SENTENCES)
    report: str | None = Field(None, max_length=LONGEST_REPORT)

    def statements(self) -> list[Statement]:
        """What they say.

        Raises:
            NothingToGround: there is no sentence.
        """
        statements = [parse_sentence(sentence.text, heading=sentence.heading) for sentence in self.sentences or ()]
        statements += parse_report(self.report or "")[:MOST_SENTENCES]
        if not statements:
            raise NothingToGround("There is no sentence to look for.", hint="Give sentences, or a report with text.")
        return statements


class Ground(Text):
    """What to find in the scan."""

    heatmaps: bool = True


class At(Text):
    """Sentences to rank for a point of the patient, RAS mm."""

    point_ras_mm: list[_Coordinate] = Field(min_length=3, max_length=3)


class Export(Text):
    """What to write."""

    full_resolution: bool = False
    draw_absent: bool = False


class Open(_Body):
    """The volume of a new session: by the id of its content, or by path where the server allows it."""

    volume: str | None = Field(None, max_length=100)
    path: str | None = Field(None, max_length=4096)
    series: str | None = Field(None, max_length=100)
    frame: int | None = Field(None, ge=1, le=2**31)
    force: bool = False
    lease_s: float | None = Field(None, gt=0, allow_inf_nan=False)


class Segment(_Body):
    """A task that `capabilities` names."""

    task: str = Field(max_length=100)


class Findings(_Body):
    """Whether to send the heatmaps."""

    heatmaps: bool = True


class Nothing(_Body):
    """An empty object."""


class Fault(BaseModel):
    """What was wrong, and what to do about it."""

    code: str
    message: str
    hint: str


class Health(BaseModel):
    """Whether the server can be used."""

    status: Literal["warming up", "ready", "failed"]
    protocol: int
    version: str


class Uploaded(BaseModel):
    """A volume that the server now holds."""

    volume: str
    shape: tuple[int, int, int]
    passport: list[PassportFinding]


class SessionState(BaseModel):
    """A session: its volume in the words of docs/results.md, and its lease."""

    session: str
    volume_id: str
    volume: VolumeInfo
    passport: list[PassportFinding]
    encoded: bool
    lease_s: float


class Parsed(BaseModel):
    """What sentences say, in order."""

    statements: list[Statement]


class Stopped(BaseModel):
    """Whether there was such a request at work."""

    cancelled: bool
