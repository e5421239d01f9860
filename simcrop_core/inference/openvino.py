"""The image encoder in OpenVINO's form: on a CPU, faster than torch for large encoders (docs/performance.md).

`simcrop weights convert` writes it once; from then on every engine on a CPU uses it. It is kept by the sha256 of the
weights file, so it can never stand for another one. OpenVINO's own converter reports its use over the network; its
front end, which is called here, does not.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import secrets
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from simcrop_core.errors import CannotWrite, MissingDependency, UnknownWeights
from simcrop_core.inference.device import compute_dtype
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.registry import WeightsFolder, weights_home
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights import load_grounding_model, sha256_of
from simcrop_core.progress import Job

if TYPE_CHECKING:
    from openvino import CompiledModel

_FOLDER = "openvino"


class OpenVINOEncoder:
    """A grounding model's `encode`, computed by OpenVINO on the CPU (see `features.PatchEncoder`).

    Args:
        model: the same weights in torch.
        converted: what `convert_encoder` wrote of them.
    """

    def __init__(self, model: GroundingModel, converted: Path) -> None:
        from openvino import Core

        self._model = model
        native = compute_dtype(torch.device("cpu")) == torch.bfloat16
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if native else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        self._compiled: CompiledModel = Core().compile_model(converted, "CPU", settings)

    @property
    def vision(self) -> VisionTransformer:
        """The network in torch."""
        return self._model.vision

    @property
    def width(self) -> int:
        """Of what `encode` gives."""
        return self._model.width

    def encode(self, images_B1HWD: Tensor) -> Tensor:
        """(B, N, C) features of frames, z fastest: those of torch to within a cosine of 0.999."""
        found = [torch.from_numpy(self._compiled(image[None].float().numpy())[0]) for image in images_B1HWD]
        return torch.cat(found)


def converted_encoder(grounding_sha256: str) -> Path:
    """Where the converted image encoder of a grounding weights file is, or would be."""
    return weights_home().parent / _FOLDER / f"{grounding_sha256}.xml"


def openvino_version() -> str | None:
    """Of the installed package; None where the extra is not installed."""
    return importlib.metadata.version("openvino") if importlib.util.find_spec("openvino") else None


def convert_encoder(folder: WeightsFolder, job: Job) -> Path:
    """Write the image encoder of a set of weights in OpenVINO's form, in half precision as the weights themselves are.

    Raises:
        MissingDependency: OpenVINO is not installed.
        UnknownWeights: the set has no grounding model.
        CannotWrite: the folder of the user's data is not writable, or the disk is full.
        Cancelled: through `job`; nothing was written.
    """
    if openvino_version() is None:
        raise MissingDependency(
            "The package openvino is needed to convert weights and is not installed.",
            hint="pip install 'simcrop[openvino]'",
        )
    if folder.grounding is None:
        raise UnknownWeights(f"The weights {folder.name} have no image encoder to convert.", hint="Use others.")
    target = converted_encoder(sha256_of(folder.grounding))
    job.step("Loading the weights", 0, 3)
    model = load_grounding_model(folder)[0].eval().requires_grad_(False)
    job.step("Following the network", 1, 3)
    traced = _traced(model)
    job.step("Writing", 2, 3)
    try:
        _write(traced, target)
    except (OSError, RuntimeError) as error:
        raise CannotWrite(f"{target} cannot be written.", hint="Free disk space, or set SIMCROP_HOME.") from error
    job.step("Writing", 3, 3)
    return target


class _Encode(nn.Module):
    def __init__(self, model: GroundingModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images_B1HWD: Tensor) -> Tensor:
        return self.model.encode(images_B1HWD)


def _traced(model: GroundingModel) -> torch.jit.ScriptModule:
    image = torch.zeros(1, 1, *model.config.frame.shape)
    with torch.no_grad(), warnings.catch_warnings():
        # A frame has one shape: what is traced holds for all of them.
        warnings.simplefilter("ignore")
        traced: torch.jit.ScriptModule = torch.jit.trace(_Encode(model), image, check_trace=False)
    return traced


def _write(traced: torch.jit.ScriptModule, target: Path) -> None:
    """The two files under names of their own, then the network's last: it is there only when the weights are."""
    from openvino import save_model
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    front_end = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced)
    network = front_end.convert(front_end.load(decoder))
    target.parent.mkdir(parents=True, exist_ok=True)
    writing = target.with_name(f".{secrets.token_hex(4)}.xml")
    try:
        save_model(network, writing, compress_to_fp16=True)
        writing.with_suffix(".bin").replace(target.with_suffix(".bin"))
        writing.replace(target)
    finally:
        for left_over in (writing, writing.with_suffix(".bin")):
            left_over.unlink(missing_ok=True)
