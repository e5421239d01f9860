"""The image encoder in OpenVINO's form: on a CPU, faster than torch for large encoders (docs/performance.md).

`simcrop weights convert` writes it once; from then on every engine on a CPU uses it. It is kept by the sha256 of the
weights file, so it can never stand for another one. OpenVINO reports over the network that it was imported, unless its
telemetry is missing: here it always is.
"""

from __future__ import annotations

import importlib.metadata
import secrets
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from simcrop_core.errors import CannotWrite, IncompatibleWeights, MissingDependency, UnknownWeights
from simcrop_core.inference.device import compute_dtype
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.registry import WeightsFolder, weights_home
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights import load_grounding_model, sha256_of
from simcrop_core.progress import Job

if TYPE_CHECKING:
    from types import ModuleType

    from openvino import Model

_FOLDER = "openvino"
# Of the network that is traced: another `encode` than the one that wrote a file has another number.
_FORM = 1


class OpenVINOEncoder:
    """A grounding model's `encode`, computed by OpenVINO on the CPU (see `features.PatchEncoder`).

    Args:
        model: the same weights in torch.
        converted: what `convert_encoder` wrote of them.

    Raises:
        IncompatibleWeights: it is damaged, or of another version of OpenVINO.
    """

    def __init__(self, model: GroundingModel, converted: Path) -> None:
        self._model = model
        native = compute_dtype(torch.device("cpu")) == torch.bfloat16
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if native else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        try:
            self._compiled = _openvino().Core().compile_model(converted, "CPU", settings)
        except RuntimeError as error:
            raise IncompatibleWeights(
                f"{converted} cannot be read by OpenVINO {openvino_version()}.",
                hint="simcrop weights convert writes it anew; without the file torch is used.",
            ) from error

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
        # A request of its own: calls of the compiled network share one, and threads would read each other's answers.
        request = self._compiled.create_infer_request()
        return torch.cat([torch.from_numpy(request.infer(i[None].float().numpy())[0].copy()) for i in images_B1HWD])


def converted_encoder(grounding_sha256: str) -> Path:
    """Where the converted image encoder of a grounding weights file is, or would be."""
    return weights_home().parent / _FOLDER / f"{grounding_sha256}-{_FORM}.xml"


def openvino_version() -> str | None:
    """Of the installed package; None where the extra is not installed."""
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return None


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
    network = _converted(_traced(model))
    job.step("Writing", 2, 3)
    try:
        _write(network, target)
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


def _converted(traced: torch.jit.ScriptModule) -> Model:
    openvino = _openvino()
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    front_end = openvino.frontend.FrontEndManager().load_by_framework("pytorch")
    # By a name: the front end itself does not keep it alive.
    decoder = TorchScriptPythonDecoder(traced)
    return cast("Model", front_end.convert(front_end.load(decoder)))


def _write(network: Model, target: Path) -> None:
    """The two files under names of their own, then the network's last: it is there only when its own weights are."""
    target.parent.mkdir(parents=True, exist_ok=True)
    writing = target.with_name(f".{secrets.token_hex(4)}.xml")
    try:
        _openvino().save_model(network, writing, compress_to_fp16=True)
        target.unlink(missing_ok=True)
        writing.with_suffix(".bin").replace(target.with_suffix(".bin"))
        writing.replace(target)
    finally:
        for left_over in (writing, writing.with_suffix(".bin")):
            left_over.unlink(missing_ok=True)


def _openvino() -> ModuleType:
    """The package without its telemetry, of which it makes nothing where that cannot be imported."""
    sys.modules.setdefault("openvino_telemetry", cast("ModuleType", None))
    import openvino

    return cast("ModuleType", openvino)
