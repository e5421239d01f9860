"""A small phantom made of boxes, whose every voxel is known without a generator."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.truth import LABELS, LOBES, Person, Phantom, PhantomReport, Statement

SHAPE = (40, 36, 24)
SPACING_MM = (2.0, 1.75, 3.0)

ORGANS = {
    "left lung": np.s_[4:16, 8:28, 8:22],
    "right lung": np.s_[24:36, 8:28, 8:22],
    "trachea": np.s_[19:21, 16:18, 14:24],
    "heart": np.s_[16:22, 18:26, 8:12],
    "aorta": np.s_[17:19, 10:12, 4:16],
    "liver": np.s_[22:36, 10:28, 0:6],
    "spleen": np.s_[5:10, 8:14, 1:6],
    "spine": np.s_[18:22, 3:8, 0:24],
}
LOBE_BOXES = {
    "left lower lobe": np.s_[4:16, 8:28, 8:14],
    "left upper lobe": np.s_[4:16, 8:28, 14:22],
    "right lower lobe": np.s_[24:36, 8:28, 8:12],
    "right middle lobe": np.s_[24:36, 8:28, 12:15],
    "right upper lobe": np.s_[24:36, 8:28, 15:22],
}
UPPER_NODULE = np.s_[28:30, 20:22, 18:19]
LOWER_NODULE = np.s_[26:28, 12:14, 9:10]
EFFUSION = np.s_[4:16, 8:11, 8:12]
CALCIFICATION = np.s_[17:18, 20:21, 9:10]
KIDNEYS = {"left kidney": np.s_[8:11, 7:10, 0:1], "right kidney": np.s_[27:30, 7:10, 0:1]}


def flat(*boxes):
    """Flat indices of some boxes together."""
    mask = np.zeros(SHAPE, dtype=bool)
    for box in boxes:
        mask[box] = True
    return np.flatnonzero(mask).astype(np.int32)


def label_map(boxes, names):
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for name, box in boxes.items():
        labels[box] = names.index(name)
    return labels


RUL = "right upper lobe"
STATEMENTS = (
    Statement("Nodule in the right upper lobe.", "positive", "nodule", "right", RUL, flat(UPPER_NODULE), 16.0),
    Statement("RUL nodule.", "positive", "nodule", "right", RUL, flat(UPPER_NODULE), 16.0),
    Statement("Nodules in the right lung.", "positive", "nodule", "right", "", flat(UPPER_NODULE, LOWER_NODULE), 9.0),
    Statement("Small left pleural effusion.", "positive", "pleural effusion", "left", "", flat(EFFUSION)),
    Statement("A left effusion is possible.", "uncertain", "pleural effusion", "left", "", flat(EFFUSION)),
    Statement("Coronary calcifications.", "positive", "coronary calcification", "", "", flat(CALCIFICATION)),
    Statement("No pneumothorax.", "negated", "pneumothorax", "", "", flat()),
    Statement("Mass in the left upper lobe.", "absent", "mass", "left", "left upper lobe", flat()),
    Statement("The left kidney is seen.", "anatomy", "left kidney", "left", "", flat(KIDNEYS["left kidney"])),
    Statement("The right kidney is seen.", "anatomy", "right kidney", "right", "", flat(KIDNEYS["right kidney"])),
)
REPORT = PhantomReport(
    "Cough, \"dry\".",
    "Without contrast.",
    "Nodule in the right upper lobe. Nodules in the right lung. Small left pleural effusion. Coronary calcifications. "
    "No pneumothorax.",
    "Nodules, effusion.",
)  # fmt: skip
PRESENT = frozenset({"Lung nodule", "Pleural effusion", "Coronary artery wall calcification"})


def hand_made_phantom(seed=7, image=None):
    """The boxes; each voxel has a value of its own chance, so that no turn or mirror image goes unseen."""
    if image is None:
        image = np.random.default_rng(0).integers(-1024, 1500, SHAPE).astype(np.int16)
    labels, lobes = label_map(ORGANS, LABELS), label_map(LOBE_BOXES, LOBES)
    return Phantom(image, SPACING_MM, labels, lobes, STATEMENTS, REPORT, PRESENT, Person(61, "F"), seed, "a")
