"""Sentences about the demo scans, written by hand for this project, and what each of them means there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DemoSentence:
    """A sentence, and the structure it speaks of: a label's name, "mass", or None where nothing should be found."""

    text: str
    target: str | None


LIDC_0001 = (
    DemoSentence("Mass in the left lower lobe.", "mass"),
    DemoSentence("Spiculated solid mass in the superior segment of the left lower lobe.", "mass"),
    DemoSentence("The liver is included in the upper abdomen.", "liver"),
    DemoSentence("The spleen is seen below the left hemidiaphragm.", "spleen"),
    DemoSentence("The heart is of normal size.", "heart"),
    DemoSentence("The thoracic aorta is opacified by contrast.", "aorta"),
    DemoSentence("The trachea is in the midline.", "trachea"),
    DemoSentence("The right upper lobe is well aerated.", "right upper lobe"),
    DemoSentence("The left upper lobe is well aerated.", "left upper lobe"),
    DemoSentence("A large mass in the right upper lobe.", None),
    DemoSentence("No pleural effusion.", None),
    DemoSentence("The urinary bladder is distended.", None),
    DemoSentence("Follow-up CT in three months is recommended.", None),
)
