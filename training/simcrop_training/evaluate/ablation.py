"""The paper's ablations at a small size: what each part adds (Table 3), and two settings swept (Figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Literal

import yaml

from simcrop_core.export.atomic import replacing
from simcrop_training.evaluate import plots
from simcrop_training.evaluate.methods import Budget, Contender, compare
from simcrop_training.evaluate.published import published
from simcrop_training.evaluate.table import table
from simcrop_training.recipe import Recipe, identity_of, overridden, read_recipe

AblationName = Literal["parts", "top_k", "text_mask"]
PAGE = "ablation.md"

_RECIPES: Mapping[AblationName, tuple[str, ...]] = {
    "parts": ("table3_il", "table3_wl", "table3_il_wl", "table3_sa_il", "table3_sa_wl", "table3_all"),
    "top_k": ("fig3_top_k_16", "fig3_top_k_32", "paper", "fig3_top_k_128", "fig3_top_k_256"),
    "text_mask": ("fig3_text_mask_25", "fig3_text_mask_50", "paper", "fig3_text_mask_90"),
}
_AXES = {"top_k": "patches that make a region", "text_mask": "share of a report's words hidden"}
_FIELDS = {"top_k": "top_k", "text_mask": "text_mask_ratio"}


def ablate(name: AblationName, budget: Budget, output: Path, base: Path = Path("compare")) -> str:
    """Train every variant with every seed at equal budget, measure all, and write the table.

    Args:
        name: which ablation.
        budget: the same for all variants.
        output: one folder a run, the recipes as they were run, the table, and for a sweep its picture.
        base: the recipe whose size and schedule all variants have.

    Returns:
        The page.

    Raises:
        RunFailed: a run ended with an error; those before it are kept.
        AnotherRun: the output holds runs of another budget.
    """
    small = read_recipe(base, objective="simcrop")
    variants = variants_of(name, small)
    rows = [
        Contender(variant, _written(recipe, output / "recipes" / f"{variant}.yaml"))
        for variant, recipe in variants.items()
    ]
    measured = compare(rows, budget, output)
    page = f"# Ablation: {name}\n\n{table(measured)}\n{_beside(name)}"
    with replacing(output / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    if name != "parts":
        _draw(name, variants, measured, output)
    return page


def variants_of(name: AblationName, small: Recipe) -> dict[str, Recipe]:
    """The paper's variants by recipe name, each with the size, schedule and settings of another recipe."""
    return {
        variant: _at_size(read_recipe(Path(variant)), small, variant, regions=name == "top_k")
        for variant in _RECIPES[name]
    }


def _at_size(variant: Recipe, small: Recipe, name: str, *, regions: bool) -> Recipe:
    """What sets a variant apart, at another size; where regions are swept, they keep their share of the patches."""
    model = dict(variant.model)
    if regions:
        whole, little = variant.pretraining(), small.pretraining()
        share = whole.top_k / whole.vision.tokens
        model["top_k"] = max(1, round(share * little.vision.tokens))
    return overridden(small, {"name": f"{small.name}-{name}", "model": model})


def _written(recipe: Recipe, path: Path) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(identity_of(recipe), sort_keys=False), encoding="utf-8")
    return path


def _beside(name: AblationName) -> str:
    """What the paper has of it."""
    printed = published("ablation")
    if name != "parts":
        return "".join(f"{remark}\n" for remark in printed.remarks)
    lines = [f"As published ({printed.source}); other scans, another size, not a comparison:", ""]
    heads = [f"{column}, {metric}" for column, metric in zip(printed.columns, printed.metrics, strict=True)]
    lines += [f"| variant | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    lines += [f"| {row} | {' | '.join(map(str, figures))} |" for row, figures in printed.rows.items()]
    return "\n".join(lines) + "\n"


def _draw(
    name: AblationName,
    variants: Mapping[str, Recipe],
    measured: Mapping[str, Sequence[Mapping[str, float]]],
    output: Path,
) -> None:
    settings = {variant: float(getattr(recipe.pretraining(), _FIELDS[name])) for variant, recipe in variants.items()}
    ordered = sorted(settings, key=lambda variant: settings[variant])
    keys = [key for key in measured[ordered[0]][0] if key.count("/") == 1 and key.split("/")[0] in ("probe", "hit")]
    figures = {key: [mean(row[key] for row in measured[variant]) for variant in ordered] for key in keys}
    page = plots.sweep(
        [settings[variant] for variant in ordered], figures, axis=_AXES[name], title="synthetic data: phantoms"
    )
    plots.save(page, output / f"{name}.png")
