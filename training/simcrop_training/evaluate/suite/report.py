"""The suite's page: what was measured, beside what guesses reach; pictures; protocols; times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from simcrop_core.phantom.layouts.settings import NOTICE
from simcrop_training.evaluate.grounding_benchmark.panels import CAPTION
from simcrop_training.evaluate.origin import origin_of
from simcrop_training.evaluate.probing.protocols import PROTOCOLS
from simcrop_training.evaluate.suite.figures import Row, rows_of
from simcrop_training.evaluate.suite.kept import Done
from simcrop_training.evaluate.suite.page import Block, Grid, Heading, Paragraph, Picture, Points, as_html, as_markdown
from simcrop_training.evaluate.suite.parts import TABLES
from simcrop_training.evaluate.suite.settings import Model, Size
from simcrop_training.evaluate.summary import TABLE
from simcrop_training.evaluate.written import write_text

MARKDOWN, HTML = "index.md", "index.html"
TITLE = "All benchmarks, on synthetic scans"
_PICTURES = (
    (
        "transfer/labels-clean.png",
        "Transfer: area under the ROC curve by label, probes of ct-rate asked about rad-chestct.",
    ),
    ("ground/panels.png", f"Grounding. {CAPTION}"),
    ("probe/ct-rate/roc-clean.png", "Linear probe of ct-rate, clean: ROC curves."),
    ("zero-shot/ct-rate/roc.png", "Zero-shot on ct-rate: ROC curves."),
)
# Groups of which all rows are of one command.
_WHOLE = ("Grounding", "Does it look?")


def write_report(folder: Path, size: Size, models: Sequence[Model], parts: Mapping[str, Done], planned: int) -> None:
    """Write `index.md` and `index.html`.

    Args:
        folder: of the suite.
        size: of what was done.
        models: the columns.
        parts: what was done so far.
        planned: how many there are in all.

    Raises:
        CannotWrite: the folder is not writable.
    """
    blocks = report(folder, size, models, parts, planned)
    write_text(folder / MARKDOWN, as_markdown(TITLE, blocks))
    write_text(folder / HTML, as_html(TITLE, blocks, folder))


def report(folder: Path, size: Size, models: Sequence[Model], parts: Mapping[str, Done], planned: int) -> list[Block]:
    """The page's blocks, the most important first."""
    rows = rows_of(folder, models, parts)
    return [
        Paragraph(f"{NOTICE}. " + _caution(size), warning=True),
        Paragraph(_columns(size, models)),
        _summary(rows, models),
        Paragraph(
            "In brackets 95 % intervals by patients. **A guess** is what is reached without looking at the scan: of "
            "areas and classes by chance or the largest class, of grounding the best of chance, centre and lungs; of "
            "differences and moves it says what a model that looks must show. A dash has its reason below."
        ),
        *_beside(folder),
        *_reasons(rows),
        *_pictures(folder),
        Heading("How it was measured"),
        Points(_protocols(size)),
        *_times(parts, planned),
    ]


def _caution(size: Size) -> str:
    return (
        f"So few scans ({size.scans} as ct-rate, fewer of the others) and so little training show that every command "
        "runs and how its figures read. They say nothing of patients, and not which method is better."
    )


def _columns(size: Size, models: Sequence[Model]) -> str:
    trained = [model.name for model in models if model.method and model.method != "random"]
    words = [f"{', '.join(trained)}: trained here, {size.train_steps} steps of a small network"] if trained else []
    words += ["random: not trained"] if any(model.method == "random" for model in models) else []
    words += [f"{model.name}: the weights {model.weights}" for model in models if not model.method]
    others = {model.name: origin_of(model.weights).model for model in models if not model.method}
    named = [f"{name} as {other}" for name, other in others.items() if name != other]
    said = f" In pictures and on linked pages {', '.join(named)}, the method in the weights file." if named else ""
    return f"**Models.** {'; '.join(words)}.{said}"


def _beside(folder: Path) -> list[Block]:
    path = Path(TABLES) / TABLE
    if not (folder / path).is_file():
        return []
    return [Paragraph(f"The same beside what papers print of patients' scans: [tables]({path.as_posix()}).")]


def _summary(rows: Sequence[Row], models: Sequence[Model]) -> Grid:
    head = ["benchmark", "figure", "a guess", *(model.name for model in models)]
    lines, group = [], ""
    for row in rows:
        name = f"[{row.what}]({row.page})" if row.page else row.what
        cells = [row.cells[model.name].words or "–" for model in models]
        guess = row.guess if any(cell.words for cell in row.cells.values()) else "–"
        lines.append([f"**{row.group}** {name}" if row.group != group else name, row.metric, guess, *cells])
        group = row.group
    return Grid(head, lines, words=2)


def _reasons(rows: Sequence[Row]) -> list[Block]:
    """Every reason with the models and benchmarks that it is for; of models with the same ones once."""
    where: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        name = row.group.lower() if row.group in _WHOLE else f"{row.group.lower()} {row.what}"
        for model, cell in row.cells.items():
            if not cell.words:
                where.setdefault((model, cell.reason), {})[name] = None
    models: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (model, reason), names in where.items():
        models.setdefault((reason, tuple(names)), []).append(model)
    points = [f"{', '.join(its)}: {reason} ({'; '.join(names)})" for (reason, names), its in models.items()]
    return [Heading("What has no figure, and why"), Points(points)] if points else []


def _pictures(folder: Path) -> list[Block]:
    shown: list[Block] = [Picture(path, words) for path, words in _PICTURES if (folder / path).is_file()]
    return [Heading("Pictures"), *shown] if shown else []


def _protocols(size: Size) -> list[str]:
    return [
        f"**Linear probe, official.** {PROTOCOLS['official']} Steps here: "
        f"{size.probe_steps}, instead of 200 to 10,000.",
        f"**Linear probe, clean; transfer.** {PROTOCOLS['clean']} Transfer asks all scans of rad-chestct; "
        "calcification is the higher of two probabilities.",
        "**Zero-shot.** Prompts ctclip, a softmax over a finding and its denial; no label trains anything.",
        f"**Segmentation.** The clean protocol, {size.finetune_steps} steps of crops of 48 × 48 × 24 voxels of "
        "3 × 3 × 6 mm (the protocol has more and finer ones); scored on the scans' own voxels; mean Dice over labels, "
        "without background.",
        "**Grounding.** Style b, which trained nothing. Peak, Dice with as many voxels as the mask has, distances: "
        "means over sentences. Text only: the sentence's mean map over other patients; swapped scan: that of another.",
        f"**Does it look?** After less before, {size.audited} scans: another patient's scan; the sentence's own "
        "patches filled with lung, less as many others filled; how much better true sides fit than false ones; "
        "mirrored scans.",
        "Definitions and settings: the page of each command, linked in the table.",
    ]


def _times(parts: Mapping[str, Done], planned: int) -> list[Block]:
    if not parts:
        return []
    groups: dict[str, list[Done]] = {}
    for key, part in parts.items():
        groups.setdefault(key.split("/")[0], []).append(part)
    rows = [
        [_title(group, its), _minutes(sum(p.seconds for p in its)), _minutes(sum(p.cpu_seconds for p in its))]
        for group, its in groups.items()
    ]
    total = [_minutes(sum(getattr(part, key) for part in parts.values())) for key in ("seconds", "cpu_seconds")]
    finished = sum(part.finished for part in parts.values())
    said = f"{finished} of {planned} parts are finished."
    if finished < planned:
        stopped = [part.title for part in parts.values() if not part.finished]
        said += f"{' Not finished: ' + '; '.join(stopped) + '.' if stopped else ''} The same command goes on."
    return [
        Heading("Time"),
        Grid(["part", "by the clock", "of processors"], [*rows, ["**all**", *total]]),
        Paragraph(said),
    ]


def _title(group: str, its: Sequence[Done]) -> str:
    return f"{group}: {len(its)} parts" if len(its) > 1 else f"{group}: {its[0].title}"


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
