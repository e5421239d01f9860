"""Phrasings filled with a finding's own words."""

from __future__ import annotations

from simcrop_core.phantom.style_b.finding import GRADES, Finding
from simcrop_core.phantom.style_b.phrases import DEVICES, PHRASES


def _fields(f: Finding) -> dict[str, str]:
    bare = f.lobe or (f.site if f.kind != "lymphadenopathy" else "") or "both lungs"
    where = bare if bare.startswith("both") else f"the {bare}"
    grade = PHRASES[f.kind].grades[GRADES.index(f.grade)]
    form, article = DEVICES.get(f.form, (f.form, ""))
    values = {
        "where": where,
        "bare": bare,
        "side": f.side,
        "size": f"{f.size_mm:.0f}",
        "cm": f"{f.size_mm / 10:.1f}",
        "grade": grade,
        "form": form,
        "aform": f"{article} {form}".strip(),
        "site": f.site,
    }
    return values | {name.capitalize(): text[:1].upper() + text[1:] for name, text in values.items()}


def filled(template: str, f: Finding) -> str:
    """A phrasing with the finding's own words."""
    return template.format_map(_fields(f))
