"""What of the answers is shown: one heatmap over the CT, its peak, kept contours. MRML only."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from SimCroPSlicerLib import palette, provenance, scene, segments, views
from SimCroPSlicerLib.frames import Frame, frame_of, show_frame
from SimCroPSlicerLib.geometry import affine_of, world_point
from SimCroPSlicerLib.hierarchy import remove
from SimCroPSlicerLib.logic import Answer, Found

# Drawn like anything else only where something may be there; the rest is not coloured unless asked for.
DRAWN_POLARITIES = ("positive", "uncertain")
DRAWN_EVIDENCE = ("located", "weak", None)


@dataclass
class Options:
    """How heatmaps are drawn."""

    opacity: float = 0.6
    threshold: float = -1.0
    outline_only: bool = False
    peak_box: bool = True
    ramp: str = palette.FIRST_RAMP


def is_drawn(result: dict[str, Any]) -> bool:
    """Whether a sentence's map gets colours: a negated, normal or unlocated one never lights anything up."""
    return result.get("polarity", "positive") in DRAWN_POLARITIES and result.get("evidence") in DRAWN_EVIDENCE


class HeatmapDisplay:
    """The one heatmap in view, and what goes with it.

    Args:
        mrml_scene: where everything is shown.
        version: of the engine, for provenance.
    """

    def __init__(self, mrml_scene: Any, version: str) -> None:
        self._scene = mrml_scene
        self._version = version
        self._before: views.ViewState | None = None
        self.options = Options()
        self.source: Any = None
        self.current: Any = None
        self._provisional: Any = None
        self._box: Any = None
        self._outline: Any = None
        self._kept = 0
        self._peaks: list[tuple[float, float, float]] = []
        self._peak = 0

    def enter(self) -> None:
        """Remember how the views are, and show again what was shown here last."""
        if self._before is not None:
            return
        self._before = views.ViewState(self._scene)
        if self.current is not None and self.current.GetScene() is not None and provenance.source_of(self.current):
            self._before.remember_window(provenance.source_of(self.current))
            self.show(self.current, jump=False)

    def leave(self) -> None:
        """Put the views back to how they were; the box and the contour in view are the panel's, not the user's."""
        self._drop_provisional()
        self._remove(self._box, self._outline)
        self._box = self._outline = None
        if self._before is not None:
            self._before.restore()
            self._before = None

    def scene_closed(self) -> None:
        """Everything has gone with the scene."""
        self._before = self.source = self.current = self._provisional = self._box = self._outline = None
        self._peaks = []

    def set_source(self, volume: Any) -> None:
        """The CT that is looked at."""
        if volume is not self.source:
            self._drop_provisional()
            self._remove(self._box, self._outline)
            self._box = self._outline = self.current = None
            self._peaks = []
            self.source = volume
            if volume is not None and self._before is not None:
                self._before.remember_window(volume)

    def set_window(self, name: views.WindowName) -> None:
        """Show the CT in a window."""
        if self.source is not None:
            if self._before is not None:
                self._before.remember_window(self.source)
            views.set_window(self.source, name)

    def add(self, found: Found, answer: Answer, *, origin: str | None = None) -> Any:
        """Put a heatmap into the scene without showing it; None where the sentence has no place.

        Args:
            found: the sentence or finding.
            answer: that it is of.
            origin: what asked, where that decides when the heatmap goes again ("report").
        """
        frame = answer.frame
        if found.scores is None or found.affine is None:
            return None
        facts = {
            "result": json.dumps(found.result),
            "evidence": found.result.get("evidence"),
            "peak": found.result.get("peak_ras_mm"),
            "weights": answer.weights["name"],
            "weights-sha256": answer.weights["sha256"],
            "licence": answer.weights["licence"],
            "version": self._version,
            "frame": None if frame is None else dataclasses.asdict(frame),
            "origin": origin,
        }
        text = _text_of(found.result)
        return scene.add_heatmap(self.source, found.scores, found.affine, text, scale=answer.scale, facts=facts)

    def show(self, node: Any, *, jump: bool = True) -> None:
        """Show a heatmap of the scene over its CT, and go to its peak, if the sentence says that something is there."""
        self._drop_provisional()
        self.current = node
        self.source = provenance.source_of(node) or self.source
        frame = provenance.structured(node, "frame")
        if frame is not None:
            show_frame(self.source, int(frame["index"]))
        low = self._scale()[0]
        self._peaks, self._peak = scene.peaks_of(node, low), 0
        result = provenance.structured(node, "result") or {}
        peak = provenance.structured(node, "peak")
        if not self._peaks and peak is not None:
            self._peaks = [world_point(node, peak)]
        self.refresh()
        self._show_box(peak, result)
        if jump and peak is not None and is_drawn(result):
            views.jump_to(self._scene, world_point(node, peak))

    def show_nothing(self) -> None:
        """Only the CT: for sentences that say nothing is there, or have no place."""
        self._drop_provisional()
        self.current = None
        self._peaks = []
        self._remove(self._box, self._outline)
        self._box = self._outline = None
        if self.source is not None:
            views.show_overlay(self._scene, self.source, None, self.options.opacity)

    def show_provisional(self, found: Found, answer: Answer) -> None:
        """Show the answer to a sentence that is still being typed, in grey, without jumping."""
        if found.scores is None or found.affine is None or not is_drawn(found.result):
            self.show_nothing()
            return
        if self._provisional is None:
            self._provisional = scene.add_heatmap(
                self.source, found.scores, found.affine, "…", scale=answer.scale, facts={}, provisional=True
            )
            _not_saved(self._provisional)
        else:
            scene.set_scores(self._provisional, found.scores, found.affine)
            scene.display_on_scale(self._provisional, answer.scale, provisional=True)
        views.show_overlay(self._scene, self.source, self._provisional, self.options.opacity)

    def other_frame(self) -> str:
        """Take the heatmap out of view while another frame of the sequence is shown: in words which one it is of."""
        frame = provenance.structured(self.current, "frame") if self.current is not None else None
        shown = frame_of(self.source) if frame is not None else None
        if frame is None or shown is None:
            return ""
        if Frame(**frame) == shown:
            self.refresh()
            return ""
        self._remove(self._outline)
        self._outline = None
        views.show_overlay(self._scene, self.source, None, self.options.opacity)
        if self._box is not None:
            self._box.GetDisplayNode().SetVisibility(False)
        return Frame(**frame).words

    def refresh(self) -> None:
        """Draw the current heatmap by the options as they are now."""
        if self.current is None:
            return
        result = provenance.structured(self.current, "result") or {}
        drawn = is_drawn(result)
        threshold = max(self._scale()[0], self.options.threshold)
        scene.display_on_scale(self.current, self._scale(), threshold=threshold, ramp=self.options.ramp)
        self._remove(self._outline)
        self._outline = None
        if drawn and self.options.outline_only:
            self._outline = scene.add_outline(self.source, self.current, threshold, palette.HEAT[-2])
            _not_saved(self._outline)
        shown = self.current if drawn and not self.options.outline_only else None
        views.show_overlay(self._scene, self.source, shown, self.options.opacity)
        if self._box is not None:
            self._box.GetDisplayNode().SetVisibility(self.options.peak_box and drawn)

    def hold(self, hidden: bool) -> None:
        """Hide the heat while a key is held."""
        views.set_opacity(self._scene, 0.0 if hidden else self.options.opacity)
        for node in (self._outline, self._box):
            if node is not None:
                node.GetDisplayNode().SetVisibility(not hidden)
        if not hidden:
            self.refresh()

    def step_peak(self, by: int) -> int | None:
        """Go to the next or previous local maximum; which one that is, from 0."""
        if not self._peaks:
            return None
        self._peak = (self._peak + by) % len(self._peaks)
        views.jump_to(self._scene, self._peaks[self._peak])
        return self._peak

    def keep_outline(self) -> Any:
        """Keep the current sentence as a contour in a colour of its own."""
        if self.current is None:
            return None
        colour = palette.sentence_colour(self._kept)
        self._kept += 1
        threshold = max(self._scale()[0], self.options.threshold)
        model = scene.add_outline(self.source, self.current, threshold, colour)
        model.SetAttribute(provenance.PREFIX + "kept", "1")
        return model

    def clear_outlines(self) -> None:
        """Remove every kept contour."""
        for model in provenance.results_in(self._scene, "outline"):
            if provenance.fact(model, "kept"):
                remove(model)
        self._kept = 0

    def to_segment(self) -> Any:
        """Add the current region as a segment that says that it measures nothing."""
        if self.current is None:
            return None
        threshold = max(self._scale()[0], self.options.threshold)
        surface = scene.region_surface(scene.scores_of(self.current), affine_of(self.current), threshold)
        return segments.add_attention_segment(self.source, self.current, surface, palette.sentence_colour(0))

    def _scale(self) -> tuple[float, float]:
        low, high = provenance.structured(self.current, "scale")
        return float(low), float(high)

    def _show_box(self, peak: Any, result: dict[str, Any]) -> None:
        visible = peak is not None and is_drawn(result)
        if not visible:
            self._remove(self._box)
            self._box = None
            return
        affine = affine_of(self.current)
        if self._box is None or self._box.GetScene() is None:
            self._box = scene.add_peak_box(self.source, peak, affine, "peak patch", {})
            _not_saved(self._box)
        else:
            scene.move_peak_box(self._box, peak, affine)
        self._box.GetDisplayNode().SetVisibility(self.options.peak_box)

    def _drop_provisional(self) -> None:
        self._remove(self._provisional)
        self._provisional = None

    def _remove(self, *nodes: Any) -> None:
        for node in nodes:
            if node is not None:
                remove(node)


def _not_saved(node: Any) -> None:
    """What is in view by the panel's options alone goes into no saved scene."""
    node.SetSaveWithScene(False)
    node.GetDisplayNode().SetSaveWithScene(False)


def _text_of(result: dict[str, Any]) -> str:
    """What to call a result: the sentence, or the finding."""
    return str(result.get("label") or result.get("text") or "heatmap")


def restored(mrml_scene: Any, source: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """The results that a loaded scene holds for a volume: (result, heatmap node), oldest first."""
    for node in provenance.results_in(mrml_scene, "heatmap", source):
        result = provenance.structured(node, "result")
        if isinstance(result, dict):
            yield result, node
