"""Which processor runs the networks, in which number format, and what to do when its memory is full."""

from __future__ import annotations

import torch

from simcrop_core.errors import DeviceUnavailable
from simcrop_core.models.unetr import UNETR
from simcrop_core.results import DeviceName


def resolve_device(name: DeviceName) -> torch.device:
    """The device of that name; "auto" prefers CUDA, then MPS, then the CPU.

    Raises:
        DeviceUnavailable: the machine has no such device, or torch was built without it.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available[name]:
        raise DeviceUnavailable(
            f"torch {torch.__version__} finds no {name} device on this machine.",
            hint="Use --device auto, or install the torch build for your hardware (pytorch.org).",
        )
    return torch.device(name)


def compute_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        native = torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    else:
        native = False
    return torch.bfloat16 if native else torch.float32


def prepared(unetr: UNETR, device: torch.device) -> UNETR:
    """A segmentation network on a device, in its fastest format there.

    bfloat16 convolutions on a CPU are several times faster with channels last; float32 ones are not, and differ
    (docs/performance.md).
    """
    dtype = compute_dtype(device)
    unetr.to(device, dtype)
    if device.type == "cpu" and dtype == torch.bfloat16:
        unetr.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return unetr


# What torch's allocators, CUDA's libraries and C++ say when memory is short; only CUDA's raise a class of their own.
_OUT_OF_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed", "bad_alloc")
# All that oneDNN says where it has no room for a kernel; what it cannot do at all fails earlier, in other words.
_NO_ROOM_FOR_A_KERNEL = "could not create a primitive"


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether torch or numpy failed for want of memory."""
    words = str(error).lower()
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or words == _NO_ROOM_FOR_A_KERNEL:
        return True
    return any(w in words for w in _OUT_OF_MEMORY_WORDS)
