"""The paper's ablations at a small size."""

from __future__ import annotations

from pathlib import Path

import pytest
from simcrop_training.evaluate.ablation import PAGE, ablate, variants_of
from simcrop_training.evaluate.methods import Budget
from simcrop_training.recipe import read_recipe


def test_variants_differ_in_what_the_paper_varies_and_in_nothing_else() -> None:
    small = read_recipe(Path("compare"))
    parts = variants_of("parts", small)
    switches = {
        name: (network.use_align, network.use_instance, network.use_word)
        for name, network in ((name, recipe.pretraining()) for name, recipe in parts.items())
    }
    assert switches["table3_all"] == (True, True, True)
    assert len(set(switches.values())) == len(switches) == 6
    for recipe in (*parts.values(), *variants_of("text_mask", small).values()):
        assert (recipe.schedule, recipe.method, recipe.preset) == (small.schedule, small.method, small.preset)
        assert recipe.pretraining().top_k == small.pretraining().top_k
    hidden = [recipe.pretraining().text_mask_ratio for recipe in variants_of("text_mask", small).values()]
    assert hidden == [0.25, 0.5, 0.75, 0.9]


def test_regions_keep_their_share_of_the_patches() -> None:
    sizes = [r.pretraining().top_k for r in variants_of("top_k", read_recipe(Path("compare"))).values()]
    assert sizes == [2, 4, 8, 16, 32]  # 16 to 256 of 2744 patches, of 343


RECIPE = """
name: swept
objective: simcrop
preset: tiny
schedule: {steps: 2, learning_rate: 0.001, warm_up: 1, measure_every: 1000}
method: {batch: 2, micro_batch: 2, report_tokens: 32, sentences: 6}
in_memory: true
"""


@pytest.mark.slow
def test_a_sweep_is_trained_measured_and_drawn(phantom_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    budget = Budget(phantom_folder, {"style a": phantom_folder}, (1,), threads=1)
    page = ablate("text_mask", budget, tmp_path / "out", tmp_path / "tiny.yaml")
    assert page == (tmp_path / "out" / PAGE).read_text(encoding="utf-8")
    assert all(f"| {name} |" in page for name in ("fig3_text_mask_25", "paper", "fig3_text_mask_90"))
    assert (tmp_path / "out" / "text_mask.png").stat().st_size > 5_000
