"""Every benchmark at once: what is planned, what is kept, and that no cell of the page is empty without a reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from simcrop_training.evaluate import plots
from simcrop_training.evaluate.identity import AnotherRun
from simcrop_training.evaluate.probing.scored import Predictions, on_common_scans
from simcrop_training.evaluate.suite import command as suite_command
from simcrop_training.evaluate.suite.figures import GROUPS, rows_of
from simcrop_training.evaluate.suite.kept import Done, Kept
from simcrop_training.evaluate.suite.page import Grid, Heading, Paragraph, Picture, Points, as_html, as_markdown
from simcrop_training.evaluate.suite.parts import Part, Suite
from simcrop_training.evaluate.suite.recipes import recipe_of, write_recipe
from simcrop_training.evaluate.suite.report import HTML, MARKDOWN, report, write_report
from simcrop_training.evaluate.suite.settings import Model, Size, UnusableModels, identity_of, models_of
from simcrop_training.recipe import read_recipe

from simcrop_core.errors import CannotWrite, TaskNotSupported, UnknownWeights

METHODS = ("random", "simcrop", "simcrop_plus")
MODELS = (Model("random", "w/random", "random"), Model("starter", "starter"))


def test_every_benchmark_is_planned_for_every_model_after_what_it_needs(tmp_path):
    models = models_of(METHODS, (), tmp_path)
    assert [model.name for model in models] == [*METHODS, "starter"]
    keys = [part.key for part in Suite(tmp_path, Size(), models).parts()]
    assert len(keys) == len(set(keys))
    assert {key.split("/")[0] for key in keys} == {
        "phantoms", "store", "weights", "probe", "transfer", "zero-shot", "ground", "audit", "finetune", "segment",
        "tables",
    }  # fmt: skip
    for task in ("luna16", "btcv"):
        for model in models:
            assert keys.index(f"finetune/{task}/{model.name}") < keys.index(f"segment/{task}/{model.name}")
    first_measured = min(place for place, key in enumerate(keys) if key.startswith(("probe", "ground", "zero-shot")))
    assert all(key.startswith(("phantoms", "store", "weights")) for key in keys[:first_measured])
    assert "weights/starter" not in keys


def test_no_chest_is_in_two_sets_and_none_trained_the_packaged_weights():
    seeds = [seed for drawn in Size().drawn() for seed in drawn.seeds]
    assert len(seeds) == len(set(seeds))
    assert min(seeds) >= 300_000
    held_out = {drawn.layout: {drawn.settings.split(seed) for seed in drawn.seeds} for drawn in Size(scans=6).drawn()}
    assert held_out["ct-rate"] == held_out["rad-chestct"] == held_out["btcv"] == {"train", "valid"}
    assert held_out["rexgrounding"] == {"valid"}
    assert {drawn.style for drawn in Size().drawn() if drawn.layout == "rexgrounding"} == {"b"}


def test_weights_stand_for_the_method_of_their_name_or_add_a_column(tmp_path, bright_finder):
    own = models_of(METHODS, (f"simcrop={bright_finder}", f"bright={bright_finder}"), tmp_path)
    assert [(model.name, model.method) for model in own] == [
        ("random", "random"), ("simcrop", ""), ("simcrop_plus", "simcrop_plus"), ("starter", ""), ("bright", ""),
    ]  # fmt: skip
    assert own[1].weights == str(bright_finder)
    keys = [part.key for part in Suite(tmp_path, Size(), own).parts()]
    assert "weights/simcrop" not in keys
    assert "finetune/btcv/bright" in keys


@pytest.mark.parametrize("weights", [("simcrop",), ("=x",), ("a=starter", "a=starter")])
def test_weights_without_a_name_of_their_own_are_refused(tmp_path, weights):
    with pytest.raises(UnusableModels):
        models_of(METHODS, weights, tmp_path)


def test_what_is_no_method_or_no_weights_is_refused_before_anything_is_drawn(tmp_path):
    with pytest.raises(UnusableModels, match="segmentation"):
        models_of(("segmentation",), (), tmp_path)
    with pytest.raises(UnknownWeights):
        models_of(METHODS, (f"simcrop={tmp_path / 'nowhere'}",), tmp_path)


def test_a_short_recipe_keeps_its_shares_of_the_run(tmp_path):
    plus = recipe_of("simcrop_plus", 80)
    assert (plus.schedule.steps, plus.schedule.warm_up, plus.method.warm_up) == (80, 8, 60)
    assert (plus.preset, plus.weights, plus.objective) == ("mini", "simcrop_plus", "simcrop_plus")
    written = read_recipe(write_recipe("ctclip", 20, tmp_path))
    assert written == recipe_of("ctclip", 20)


def test_a_part_is_done_once_and_time_adds_up_over_stops(tmp_path):
    kept = Kept(tmp_path, {"scans": 6})
    with pytest.raises(KeyboardInterrupt), kept.timed("ground", "ground"):
        raise KeyboardInterrupt
    assert not kept.finished("ground")
    again = Kept(tmp_path, {"scans": 6})
    before = again.parts["ground"].seconds
    with again.timed("ground", "ground") as part:
        sum(range(3_000_000))
        part.finished, part.reasons = True, {"random": "It has no words."}
    last = Kept(tmp_path, {"scans": 6})
    assert last.finished("ground")
    assert last.parts["ground"].seconds >= before
    assert last.parts["ground"].reasons == {"random": "It has no words."}
    with pytest.raises(AnotherRun, match="scans was 6, is now 7"):
        Kept(tmp_path, {"scans": 7})


def test_a_part_that_cannot_be_done_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    done = []

    def failing():
        done.append("failing")
        raise TaskNotSupported("None can.", hint="")

    def good():
        done.append("good")
        return {}

    parts = [Part("ground", "ground", failing), Part("audit", "audit", good)]
    monkeypatch.setattr(Suite, "parts", lambda _: parts)
    command = suite_command.Suite(folder=tmp_path, methods=("random",))
    for _ in range(2):
        with pytest.raises(suite_command.NotAllDone, match="None can"):
            command.run()
    assert done == ["failing", "good", "failing"]
    page = (tmp_path / MARKDOWN).read_text()
    assert "None can. (task-not-supported) (grounding)" in page
    assert "1 of 2 parts are finished. Not finished: ground. The same command goes on." in page


def test_where_nothing_can_be_written_nothing_goes_on(tmp_path, monkeypatch):
    def full():
        raise CannotWrite("The disk is full.", hint="")

    monkeypatch.setattr(Suite, "parts", lambda _: [Part("ground", "ground", full), Part("audit", "audit", dict)])
    with pytest.raises(CannotWrite):
        suite_command.Suite(folder=tmp_path, methods=("random",)).run()
    assert "audit" not in json.loads((tmp_path / "suite.json").read_text())["parts"]


def interval(mean, lo=None, hi=None):
    return {"mean": mean, "lo": lo, "hi": hi}


def write(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def probe_results(metric="AUROC"):
    label = {"label": "a", "n_pos": 3, "n_neg": 1}
    return {
        "outcomes": [
            {
                "preset": preset, "metric": metric, "value": value, "rows": [label], "tested": 4,
                "manifest": {"weights": {"name": where}},
            }
            for preset, where, value in (
                ("clean", "w/random", interval(0.5, 0.25, 0.75)), ("clean", "starter", interval(None)),
                ("official", "starter", interval(0.625)),
            )
        ]
    }  # fmt: skip


def test_every_cell_has_a_figure_or_a_reason(tmp_path):
    write(tmp_path / "probe/ct-rate/results.json", probe_results())
    write(tmp_path / "probe/cc-ccii/results.json", probe_results("accuracy"))
    (tmp_path / "probe/ct-rate/results.md").write_text("a page")
    parts = {
        "probe/ct-rate": Done("probe", finished=True, reasons={"random": "It has another encoder."}),
        "ground": Done("ground", finished=True, reasons={"random": "It learned no words."}),
        "audit": Done("audit", fault="The disk was slow. (slow)"),
    }
    rows = rows_of(tmp_path, MODELS, parts)
    assert list(dict.fromkeys(row.group for row in rows)) == list(GROUPS)
    assert all(set(row.cells) == {"random", "starter"} for row in rows)
    assert all(bool(cell.words) != bool(cell.reason) for row in rows for cell in row.cells.values())
    table = {(row.group, row.what): row for row in rows}
    clean, official = table["Linear probe", "ct-rate, clean"], table["Linear probe", "ct-rate, official"]
    assert clean.cells["random"].words == "0.50 (0.25–0.75)"
    assert "not defined" in clean.cells["starter"].reason
    assert (official.cells["starter"].words, official.cells["random"].reason) == ("0.62", "It has another encoder.")
    assert (clean.page, table["Linear probe", "cc-ccii, clean"].page) == ("probe/ct-rate/results.md", "")
    assert table["Linear probe", "cc-ccii, clean"].guess == "0.75"  # three of four are of one class
    assert table["Grounding", "all sentences"].cells["random"].reason == "It learned no words."
    assert table["Does it look?", "negated"].cells["starter"].reason == "The disk was slow. (slow)"
    assert table["Segmentation", "btcv, fine-tuned"].cells["random"].reason == "This part has not been done."


def test_the_page_says_synthetic_first_and_names_every_reason_once(tmp_path):
    write(tmp_path / "probe/ct-rate/results.json", probe_results())
    parts = {"ground": Done("ground", 70.0, 30.0, finished=True, reasons={"random": "It learned no words."})}
    blocks = report(tmp_path, Size(), MODELS, parts, 36)
    page = as_markdown("All", blocks)
    assert page.index("SYNTHETIC") < page.index("| benchmark |") < page.index("What has no figure")
    assert page.count("- random: It learned no words. (grounding)") == page.count("It learned no words.") == 1
    nothing = as_markdown("All", report(tmp_path / "new", Size(), MODELS, {}, 36))
    assert nothing.count("- random, starter: This part has not been done. (") == nothing.count("not been done") == 1
    assert "1 of 36 parts are finished. The same command goes on." in page
    assert "| **all** | 1 min 10 s | 30 s |" in page
    write_report(tmp_path, Size(), MODELS, parts, 36)
    assert (tmp_path / MARKDOWN).read_text() == page.replace("# All\n", "# All benchmarks, on synthetic scans\n", 1)
    assert "<table>" in (tmp_path / HTML).read_text()


def test_html_needs_no_other_file_and_nothing_in_it_is_markup(tmp_path):
    plots.save(Figure(figsize=(1, 1)), tmp_path / "one.png")
    blocks = [
        Heading("A <b>"), Paragraph("see [the page](probe/results.md), **now** & <script>"), Points(["one", "a < b"]),
        Grid(["model", "figure"], [["[x](y.md)", "0.5"]]), Picture("one.png", 'a "picture"'),
    ]  # fmt: skip
    html = as_html("T & U", blocks, tmp_path)
    assert "<script>" not in html
    assert '<a href="probe/results.md">the page</a>, <strong>now</strong> &amp; &lt;script&gt;' in html
    assert re.search(r'<img src="data:image/png;base64,iVBOR[^"]+" alt="a &#34;picture&#34;">', html)
    assert '![a "picture"](one.png)' in as_markdown("T", blocks)
    assert "A &lt;b&gt;" in html
    assert not re.findall(r'(?:src|href)="(?!data:|probe/|y\.md)', html)


def test_curves_are_over_the_scans_that_all_models_were_asked_about():
    def answers(names, column):
        truth = np.array([[int(name) % 2] for name in names])
        return Predictions(tuple(names), tuple(names), np.array([[column + int(n) / 10] for n in names]), truth)

    scores, truth = on_common_scans({"a": answers("1234", 0.0), "b": answers("421", 0.5)}, 1)
    assert truth.ravel().tolist() == [1, 0, 0]
    np.testing.assert_allclose(scores["a"].ravel(), [0.1, 0.2, 0.4])
    np.testing.assert_allclose(scores["b"].ravel(), [0.6, 0.7, 0.9])
    classes = Predictions(("1", "2"), ("1", "2"), np.eye(3)[:2], np.array([[2], [0]]))
    assert on_common_scans({"a": classes}, 3)[1].tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.slow
def test_everything_runs_on_phantoms_and_goes_on_where_it_was(tmp_path):
    command = suite_command.Suite(
        folder=tmp_path / "suite", scans=6, train_steps=2, probe_steps=1, finetune_steps=2, audited=2, device="cpu"
    )
    command.run()
    record = json.loads((tmp_path / "suite/suite.json").read_text())["parts"]
    assert all(part["finished"] for part in record.values())
    models = models_of(METHODS, (), tmp_path / "suite")
    rows = rows_of(tmp_path / "suite", models, {key: Done(**part) for key, part in record.items()})
    assert all(bool(cell.words) != bool(cell.reason) for row in rows for cell in row.cells.values())
    assert not any("not been done" in cell.reason for row in rows for cell in row.cells.values())
    able = {row.group for row in rows if row.cells["starter"].words}
    assert able == set(GROUPS)
    refused = {row.group for row in rows if "learned no words" in row.cells["random"].reason}
    assert refused == {"Zero-shot"}
    html = (tmp_path / "suite" / HTML).read_text()
    assert html.count("data:image/png") == 4
    links = set(re.findall(r'href="([^"]+)"', html))
    assert links
    assert all((tmp_path / "suite" / link).is_file() for link in links)
    command.run()
    assert json.loads((tmp_path / "suite/suite.json").read_text())["parts"] == record
    assert identity_of(Size(6, 2, 1, 2, 2), models)["scans"] == 6
    assert Path(models[0].weights).is_dir()
