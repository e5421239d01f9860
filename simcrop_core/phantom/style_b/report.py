"""A report of the true sentences, as a radiologist dictates one."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_b.subject import Subject
from simcrop_core.phantom.truth import PhantomReport, Statement

_REASONS = (
    "Cough.",
    "Shortness of breath on exertion.",
    "Weight loss, ex-smoker.",
    "Chest pain.",
    "Follow-up.",
    "Fever and raised inflammatory markers.",
    "Pre-operative assessment.",
)
_PHASE = {
    "none": "Unenhanced CT of the thorax.",
    "pulmonary": "CT pulmonary angiogram.",
    "arterial": "CT of the thorax in the arterial phase.",
    "venous": "CT of the thorax after intravenous contrast, venous phase.",
}


def write_report(said: tuple[Statement, ...], subject: Subject, rng: np.random.Generator) -> PhantomReport:
    """Put together the report: a phrasing of each finding, then what is not there and what is normal.

    Args:
        said: all statements of the phantom.
        subject: who was scanned and how.
        rng: random numbers.
    """
    by_finding: dict[tuple[str, str, str], list[Statement]] = {}
    for s in said:
        if s.polarity == "positive":
            by_finding.setdefault((s.topic, s.side, s.lobe), []).append(s)
    lines, conclusion = [], []
    for key, options in by_finding.items():
        first, second = rng.choice(len(options), 2, replace=False)
        lines.append(options[first].text)
        conclusion.append(options[second].text)
        earlier = [s for s in said if s.polarity == "comparison" and (s.topic, s.side, s.lobe) == key]
        if earlier and rng.random() < 0.25:
            lines.append(earlier[0].text)
    lines += [s.text for s in said if s.polarity in ("negated", "normal") and rng.random() < 0.8]
    person = subject.person
    who = f"{person.age}-year-old {'man' if person.sex == 'M' else 'woman'}. {rng.choice(_REASONS)}"
    technique = f"{_PHASE[subject.contrast]} {subject.thickness_mm:.0f} mm sections."
    shuffled = [lines[k] for k in rng.permutation(len(lines))]
    return PhantomReport(who, technique, " ".join(shuffled), " ".join(conclusion) or "Normal study.")
