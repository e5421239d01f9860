"""Small checkpoints with the released key names; every tensor is a function of its name and shape."""

from __future__ import annotations

import functools
import zlib

import numpy as np
import torch
from torch import Tensor

from simcrop_core.models.config import SegmentationConfig, VisionConfig
from simcrop_core.models.presets import segmentation_window
from simcrop_core.models.unetr import UNETR

DIM = 192
Shape = tuple[int, ...]


@functools.cache
def named_tensor(key: str, shape: Shape) -> Tensor:
    """Normal numbers, the same for the same key and shape, scaled by the fan-in."""
    numbers = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    return torch.from_numpy((numbers / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32))


def encoder_shapes(*, depth: int = 2, dim: int = DIM, grid: int = 2, patch: Shape = (1, 16, 16, 8)) -> dict[str, Shape]:
    """The released encoder's keys, without the final norm; `patch` is the kernel with its input channels."""
    shapes: dict[str, Shape] = {
        "cls_token": (1, 1, dim),
        "pos_embed": (1, 1 + grid**3, dim),
        "patch_embed.proj.weight": (dim, *patch),
        "patch_embed.proj.bias": (dim,),
    }
    layers = {"attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim), "mlp.fc1": (4 * dim, dim), "mlp.fc2": (dim, 4 * dim)}
    for block in (f"blocks.{i}." for i in range(depth)):
        for norm in ("norm1", "norm2"):
            shapes |= {block + norm + ".weight": (dim,), block + norm + ".bias": (dim,)}
        for layer, shape in layers.items():
            shapes |= {block + layer + ".weight": shape, block + layer + ".bias": shape[:1]}
    return shapes


def encoder_state(*, norm: str | None = "norm", **sizes: int | Shape) -> dict[str, Tensor]:
    """A released encoder's state; `norm` is the name of its final LayerNorm."""
    shapes = encoder_shapes(**sizes)  # type: ignore[arg-type]
    dim = shapes["cls_token"][-1]
    if norm is not None:
        shapes |= {f"{norm}.weight": (dim,), f"{norm}.bias": (dim,)}
    return {key: named_tensor(key, shape) for key, shape in shapes.items()}


def mae_state(*, depth: int = 2, dim: int = DIM) -> dict[str, Tensor]:
    """A 2D masked auto-encoder's state: encoder of 3 × 16 × 16 patches, decoder."""
    state = encoder_state(depth=depth, dim=dim, patch=(3, 16, 16))
    state["pos_embed"] = named_tensor("pos_embed", (1, 197, dim))
    decoder = {"mask_token": (1, 1, 64), "decoder_embed.weight": (64, dim), "decoder_blocks.0.norm1.weight": (64,)}
    return state | {key: named_tensor(key, shape) for key, shape in decoder.items()}


def released_unetr(labels: int = 14) -> dict[str, Tensor]:
    """A fine-tuned UNETR's state as the released code saves it, the tensors that nothing reads included."""
    window = segmentation_window((32, 32, 16))
    vision = VisionConfig(image=window.shape, dim=64, depth=10, heads=1, positions="simcrop_official", cls_token=False)
    config = SegmentationConfig(vision, window, tuple(map(str, range(labels))), feature_size=4)
    own = UNETR(config).state_dict()
    state = {k: t if k == "vit.pos_embed" else named_tensor(k, tuple(t.shape)) for k, t in own.items()}
    unused = {
        "vit.cls_token": (1, 1, 64),
        "encoder2.blocks.0.1.conv3.conv.weight": (8, 8, 1, 1, 1),
        "encoder2.blocks.1.1.conv3.conv.weight": (8, 8, 1, 1, 1),
        "encoder3.blocks.0.1.conv3.conv.weight": (16, 16, 1, 1, 1),
    }
    return state | {key: named_tensor(key, shape) for key, shape in unused.items()}
