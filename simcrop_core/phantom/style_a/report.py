"""The true sentences of a chest as a report: grouped by organ system, with an impression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simcrop_core.phantom.style_a.body import Body
from simcrop_core.phantom.style_a.finding import Finding
from simcrop_core.phantom.style_a.say import Said
from simcrop_core.phantom.truth import PhantomReport

# Organ systems in the order of a report: kinds of finding, organs, and what is usually denied of each.
_SYSTEMS: tuple[tuple[str, ...], ...] = (
    ("trachea", "bronchiectasis", "peribronchial thickening"),
    (
        "heart", "aorta", "ascending aorta", "descending aorta", "pulmonary artery", "superior vena cava",
        "mediastinum", "oesophagus", "cardiomegaly", "pericardial effusion", "arterial calcification",
        "coronary calcification",
        "lymphadenopathy", "hiatal hernia", "medical device",
    ),
    (
        "lungs", "left lung", "right lung", "mass", "nodule", "consolidation", "ground-glass opacity", "atelectasis",
        "emphysema", "mosaic attenuation", "fibrotic band", "septal thickening",
    ),
    ("pleural effusion", "pneumothorax"),
    ("liver", "spleen", "stomach", "kidneys"),
    ("spine", "ribs", "sternum"),
)  # fmt: skip
_RANK = ("positive", "uncertain", "comparison", "negated", "normal")
_REASONS = (
    "Cough.", "Dyspnea.", "Chest pain.", "Fever and cough.", "Follow-up.", "Weight loss.", "Shortness of breath.",
    "Preoperative evaluation.", "Suspected pneumonia.", "Known smoker, control.", "Not given.",
)  # fmt: skip
_PLAIN = ("Non-contrast chest CT.", "Thin-section CT of the thorax without contrast medium.", "Low-dose chest CT.")
_ENHANCED = (
    "Chest CT after intravenous contrast medium, {phase} phase.",
    "Contrast-enhanced CT of the thorax in the {phase} phase.",
)
_NORMAL = ("Normal thorax CT.", "No significant finding in the thorax.", "Thorax CT within normal limits.")
# Named first in an impression.
_WEIGHT = (
    "mass", "pneumothorax", "consolidation", "pleural effusion", "lymphadenopathy", "ground-glass opacity", "nodule",
    "pericardial effusion", "cardiomegaly",
)  # fmt: skip


def write_report(
    said: Sequence[Said], chosen: Sequence[Finding], body: Body, rng: np.random.Generator
) -> PhantomReport:
    """One phrasing a finding, some of what is denied and normal; every sentence is true."""
    kept = _kept(said, len(chosen), rng)
    lines = []
    for system in _SYSTEMS:
        group = [s for s in kept if s.topic in system]
        group.sort(key=lambda s: (_RANK.index(s.polarity), system.index(s.topic)))
        if group:
            lines.append(" ".join(_closed(s.text) for s in group))
    contrast = body.contrast.phase
    technique = str(rng.choice(_PLAIN if contrast == "none" else _ENHANCED)).format(phase=contrast)
    return PhantomReport(str(rng.choice(_REASONS)), technique, "\n".join(lines), _impression(said, chosen, kept, rng))


def _kept(said: Sequence[Said], findings: int, rng: np.random.Generator) -> list[Said]:
    """What of the true sentences the report holds: each finding once, or with doubt, or beside an earlier scan."""
    kept: list[Said] = []
    for i in range(findings):
        about = [s for s in said if i in s.findings]
        positive = [s for s in about if s.polarity == "positive"]
        doubtful = [s for s in about if s.polarity == "uncertain"]
        chosen = doubtful if doubtful and rng.random() < 0.15 else positive
        kept.append(chosen[int(rng.integers(len(chosen)))])
        if rng.random() < 0.5:
            kept += [s for s in about if s.polarity == "comparison"][:1]
    for polarity, share in (("negated", 0.6), ("normal", 0.6)):
        kept += [s for s in said if s.polarity == polarity and rng.random() < share]
    unique = {s.text: s for s in kept}
    return list(unique.values())


def _impression(said: Sequence[Said], chosen: Sequence[Finding], kept: Sequence[Said], rng: np.random.Generator) -> str:
    if not chosen:
        return str(rng.choice(_NORMAL))
    order = sorted(
        range(len(chosen)), key=lambda i: _WEIGHT.index(chosen[i].kind) if chosen[i].kind in _WEIGHT else len(_WEIGHT)
    )
    lines: list[str] = []
    for i in order[:4]:
        doubted = any(s.polarity == "uncertain" and i in s.findings for s in kept)
        fit = [s for s in said if i in s.findings and s.polarity == ("uncertain" if doubted else "positive")]
        lines.append(_closed(fit[-1].text))
    return "\n".join(dict.fromkeys(lines))


def _closed(text: str) -> str:
    return text if text.endswith((".", "?")) else text + "."
