"""What a training store knows of a study: its scans, its sentences, its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Triple = tuple[int, int, int]
Section = Literal["findings", "impression"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a report.

    Attributes:
        text: as split from the report.
        section: where it stands.
        row: of its embedding, the same for the same text in any report.
    """

    text: str
    section: Section
    row: int


@dataclass(frozen=True, slots=True)
class StoredOrgans:
    """A label map in the store, on the voxels of its scan; numbers are those of `data.anatomies.label_classes`.

    Attributes:
        digest: sha256 of its file, which is the file's name too.
        stored_bytes: of the file.
    """

    digest: str
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Volume:
    """One scan in the store, on the model's grid.

    Attributes:
        name: the data set's, such as "train_7_a_1".
        digest: sha256 of its shard, which is the shard's name too.
        shape: voxels along x, y, z of what is stored: the frame and a margin for random crops, but no more than was
            scanned.
        frame_start: where a crop of the frame's shape starts that is centred on the lungs; may be negative, where the
            scan is smaller than the frame.
        affine: (4, 4) stored voxel → patient RAS, mm.
        stored_bytes: of the shard.
        organs: its label map; None where it has none.
    """

    name: str
    digest: str
    shape: Triple
    frame_start: Triple
    affine: tuple[tuple[float, ...], ...]
    stored_bytes: int
    organs: StoredOrgans | None = None


@dataclass(frozen=True, slots=True)
class Study:
    """One examination: a report and the reconstructions it belongs to.

    Attributes:
        key: unique in the store; studies are in its order.
        patient: who was scanned; the unit that no split may cut in two.
        split: such as "train" or "valid".
        volumes: its reconstructions, at least one, by name.
        sentences: of findings and impression, in the report's order, each text once a section.
        findings: the section as written.
        impression: the section as written; empty where it only says that nothing is said.
        labels: names of the data set's labels that are positive; None where it labels nothing.
    """

    key: str
    patient: str
    split: str
    volumes: tuple[Volume, ...]
    sentences: tuple[Sentence, ...]
    findings: str
    impression: str
    labels: tuple[str, ...] | None
