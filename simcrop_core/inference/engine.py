"""One set of weights on one device, ready for any number of scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from simcrop_core.errors import TaskNotSupported, UnknownWeights
from simcrop_core.imaging.heatmap import ColourScale
from simcrop_core.inference.device import compute_dtype, prepared, resolve_device
from simcrop_core.inference.embed import embed, texts_read
from simcrop_core.inference.features import PatchEncoder
from simcrop_core.inference.openvino import OpenVINOEncoder, converted_encoder, openvino_version
from simcrop_core.inference.usual import UsualScores
from simcrop_core.models.checksum import sentences_sha256
from simcrop_core.models.config import ModelConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.registry import STARTER, WeightsFolder, resolve_weights
from simcrop_core.models.structures import Structures
from simcrop_core.models.unetr import UNETR
from simcrop_core.models.weights import StoredSentences, load_grounding_model, load_segmentation_model, sha256_of
from simcrop_core.models.weights_metadata import Measure, Thresholds, WeightsMetadata
from simcrop_core.results import DeviceName, WeightsInfo
from simcrop_core.text.cache import CachedTextEncoder
from simcrop_core.text.encoder import TextEncoder, load_text_encoder
from simcrop_core.text.findings import finding_sentences
from simcrop_core.text.reference import reference_sentences

# For weights that bring no scale of their own: the whole range of a cosine that speaks for a place.
_COSINE_SCALE = ColourScale(low=0.0, high=1.0)


class Engine:
    """The models of one set of weights, each loaded when it is first needed.

    Args:
        weights: name, folder or file of the weights.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        UnknownWeights: nothing is there.
        DeviceUnavailable: the machine has no such device.
    """

    def __init__(self, weights: str = STARTER, device: DeviceName = "auto") -> None:
        self.folder: WeightsFolder = resolve_weights(weights)
        self.device = resolve_device(device)

    @cached_property
    def _grounding(self) -> tuple[GroundingModel, WeightsMetadata, StoredSentences]:
        model, metadata, sentences = load_grounding_model(self.folder)
        _ = self._grounding_sha256  # of the file as it is now; it may be gone when a result names it
        model.eval().requires_grad_(False)
        # Features in the fast format; a sentence's few numbers stay exact.
        model.vision.to(self.device, compute_dtype(self.device))
        model.image_projection.to(self.device, compute_dtype(self.device))
        return model, metadata, sentences

    def grounding_model_on_cpu(self) -> GroundingModel:
        """Another copy for a scan that the device has no room for; the engine's own stays where it is.

        Raises:
            UnknownWeights: the file has gone, or is another one than the engine's own model came from.
        """
        model = load_grounding_model(self.folder)[0].eval().requires_grad_(False)
        assert self.folder.grounding is not None, "the model was loaded from it"
        if sha256_of(self.folder.grounding) != self._grounding_sha256:
            raise UnknownWeights(
                f"The weights {self.folder.name} were replaced while they were in use.",
                hint="Restart the engine to use the new ones.",
            )
        cpu = torch.device("cpu")
        model.vision.to(dtype=compute_dtype(cpu))
        model.image_projection.to(dtype=compute_dtype(cpu))
        return model

    @property
    def grounding_model(self) -> GroundingModel:
        """The image encoder and projections."""
        return self._grounding[0]

    @cached_property
    def patch_encoder(self) -> PatchEncoder:
        """The image encoder; on a CPU its form for OpenVINO, where `simcrop weights convert` has made one."""
        model = self.grounding_model
        converted = converted_encoder(self._grounding_sha256)
        if self.device.type != "cpu" or openvino_version() is None or not converted.is_file():
            return model
        return OpenVINOEncoder(model, converted)

    @property
    def encoder_versions(self) -> dict[str, str]:
        """Of the software that encodes scans beside torch, by name."""
        version = openvino_version() if isinstance(self.patch_encoder, OpenVINOEncoder) else None
        return {} if version is None else {"openvino": version}

    @property
    def thresholds(self) -> Thresholds | None:
        """From which excess over its usual score a sentence counts as located or weak; None where there are none."""
        return self._grounding[1].thresholds

    @property
    def organ_thresholds(self) -> Thresholds | None:
        """The same of the score of sentences that name no finding; None where these are as all others."""
        return self._grounding[1].organ_thresholds

    @property
    def measure(self) -> Measure:
        """What evidence goes by: scores, or prominence."""
        return self._grounding[1].measure

    @property
    def faintest(self) -> float:
        """The cosine from which anything is drawn: below it a sentence is nowhere; −1 where the weights do not say."""
        scale = self._grounding[1].colour_scale
        return -1.0 if scale is None else scale.low

    @property
    def finding_thresholds(self) -> Mapping[str, Thresholds]:
        """The same of each CT-RATE label's score; empty where the weights have none."""
        return self._grounding[1].finding_thresholds

    @property
    def colour_scale(self) -> ColourScale:
        """The one colour scale of these weights."""
        return self._grounding[1].colour_scale or _COSINE_SCALE

    @property
    def config(self) -> ModelConfig:
        """Of the grounding model."""
        return self.grounding_model.config

    @cached_property
    def text_encoder(self) -> TextEncoder:
        """The frozen sentence encoder, with its memory of recent sentences."""
        text = self.config.text
        if self.folder.text is not None:
            text = replace(text, encoder=str(self.folder.text))
        return CachedTextEncoder(load_text_encoder(text))

    @torch.inference_mode()
    def embed(self, sentences: Sequence[str]) -> Tensor:
        """(S, C) sentence embeddings in the patch space, on the CPU."""
        return embed(self.grounding_model, self.text_encoder, sentences)

    def remember(self, sentences: Sequence[str]) -> None:
        """Take all that `embed` reads for these sentences through the text encoder, which keeps it."""
        self.text_encoder.encode(texts_read(self.config.text, sentences))

    @cached_property
    def reference_embeddings(self) -> Tensor:
        """(500, C) embeddings of the reference sentences: from the weights file if it has these, else computed here."""
        _, metadata, stored = self._grounding
        sentences = reference_sentences()
        if stored.reference_RC is None or metadata.reference_sha256 != sentences_sha256(sentences):
            return self.embed(sentences)
        return stored.reference_RC.float()

    @cached_property
    def usual_scores(self) -> UsualScores | None:
        """What sentences score on chests in general; None where the weights do not say."""
        stored = self._grounding[2]
        if stored.usual_MC is None or stored.usual_M is None:
            return None
        return UsualScores(stored.usual_MC, stored.usual_M)

    @cached_property
    def finding_embeddings(self) -> Tensor:
        """(S, C) embeddings of the sentences of every finding: its positive ones, then its negated ones."""
        return self.embed(finding_texts())

    def warm_up(self) -> None:
        """Load every model of the weights now, and embed one sentence, so that no later question waits for that."""
        self.embed([reference_sentences()[0]])
        _ = self.patch_encoder
        assert len(self.reference_embeddings) > 0
        _ = self.usual_scores
        self.grounding_info()
        if self.folder.segmentation is not None:
            self.segmentation_info()

    @cached_property
    def _segmentation(self) -> tuple[UNETR, WeightsMetadata]:
        model, metadata = load_segmentation_model(self.folder)
        _ = self._segmentation_sha256
        model.eval().requires_grad_(False)
        return prepared(model, self.device), metadata

    @property
    def segmentation_model(self) -> UNETR:
        """The UNETR."""
        return self._segmentation[0]

    @property
    def tasks(self) -> dict[str, Structures]:
        """The segmentation tasks of the weights, each with its structures; none where they cannot segment."""
        return {} if self.folder.segmentation is None else dict(self._segmentation[1].tasks)

    def structures_of(self, task: str) -> Structures:
        """The structures a segmentation task gives, each with the network's labels that make it.

        Raises:
            TaskNotSupported: the weights do not know the task.
        """
        if self.folder.segmentation is None:
            raise TaskNotSupported(
                f"The weights {self.folder.name} cannot segment.", hint=f"Use --weights {STARTER}, or train a UNETR."
            )
        if task not in self.tasks:
            raise TaskNotSupported(
                f"The weights {self.folder.name} do not know the task {task}.",
                hint=f"They know: {', '.join(self.tasks)}.",
            )
        return self.tasks[task]

    def grounding_info(self) -> WeightsInfo:
        """What to say of the grounding weights beside a result."""
        return _info(self._grounding[1], self._grounding_sha256)

    def segmentation_info(self) -> WeightsInfo:
        """What to say of the segmentation weights beside a result."""
        return _info(self._segmentation[1], self._segmentation_sha256)

    @cached_property
    def _grounding_sha256(self) -> str:
        assert self.folder.grounding is not None, "the model was loaded from it"
        return sha256_of(self.folder.grounding)

    @cached_property
    def _segmentation_sha256(self) -> str:
        assert self.folder.segmentation is not None, "the model was loaded from it"
        return sha256_of(self.folder.segmentation)


def finding_texts() -> list[str]:
    """What is embedded for the findings: every label's positive sentences, then its negated ones."""
    statements = (s for finding in finding_sentences() for s in (*finding.positive, *finding.negated))
    return [statement.grounding_text for statement in statements]


def _info(metadata: WeightsMetadata, sha256: str) -> WeightsInfo:
    provenance = metadata.provenance
    return WeightsInfo(metadata.name, sha256, provenance.licence, provenance.trained_on)
