"""Weights and inputs of the parity references, as functions of their names (numpy only; README.md beside this).

Every tensor is noise of the legacy numpy generator, whose stream never changes, seeded with its key, and scaled:
LayerNorm weights 1 ± 0.1, biases ± 0.05, tokens ± 0.5, the position table ± 0.1 around the released one, all else by
its fan-in.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Shape = tuple[int, ...]

_SALT = "simcrop-parity-v1:"


def position_table(h: int, w: int, d: int, dim: int) -> Array:
    """The released sine-cosine table, (1, h·w·d, dim); d is not used in it."""
    frequencies = np.exp(np.arange(0, dim, 2) * -(np.log(10000.0) / dim))
    table = np.zeros((h, w, d, dim))
    table[..., 0::2] = np.sin(np.arange(h)[:, None] * frequencies)[:, None, None, :]
    table[..., 1::2] = np.cos(np.arange(w)[:, None] * frequencies)[None, :, None, :]
    return table.reshape(1, h * w * d, dim).astype(np.float32)


def tensor(key: str, shape: Shape, namespace: str = "") -> Array:
    """The tensor of that key; decoder tensors of the UNETR have the namespace "unetr."."""
    seed = zlib.crc32((_SALT + namespace + key).encode()) & 0x7FFFFFFF
    noise = np.random.RandomState(seed).standard_normal(size=shape)
    leaf = key.rsplit(".", maxsplit=1)[-1]
    if key.endswith("pos_embed"):
        side = round((shape[1] - 1) ** (1 / 3))
        cls_row = np.zeros((1, 1, shape[2]), np.float32)
        values = np.concatenate([cls_row, position_table(side, side, side, shape[2])], axis=1) + 0.1 * noise
    elif "norm" in key and leaf == "weight" and len(shape) == 1:
        values = 1 + 0.1 * noise
    elif leaf == "bias":
        values = 0.05 * noise
    elif leaf in {"cls_token", "mask_token"}:
        values = 0.5 * noise
    else:
        values = noise / np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)


def vit_shapes(
    depth: int = 12, dim: int = 768, grid: int = 14, patch: Shape = (16, 16, 8), norm: str = "fc_norm"
) -> dict[str, Shape]:
    """Keys and shapes of the image encoder that the released code reads; `norm` "" leaves the final one out."""
    shapes: dict[str, Shape] = {
        "cls_token": (1, 1, dim),
        "pos_embed": (1, grid**3 + 1, dim),
        "patch_embed.proj.weight": (dim, 1, *patch),
        "patch_embed.proj.bias": (dim,),
    }
    linear = {"attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim), "mlp.fc1": (4 * dim, dim), "mlp.fc2": (dim, 4 * dim)}
    for block in (f"blocks.{i}." for i in range(depth)):
        for name in ("norm1", "norm2"):
            shapes |= {f"{block}{name}.weight": (dim,), f"{block}{name}.bias": (dim,)}
        for name, shape in linear.items():
            shapes |= {f"{block}{name}.weight": shape, f"{block}{name}.bias": shape[:1]}
    if norm:
        shapes |= {f"{norm}.weight": (dim,), f"{norm}.bias": (dim,)}
    return shapes


# Keys that a pre-training checkpoint also carries, and a loader has to leave aside.
DISTRACTORS: dict[str, Shape] = {
    "mask_token": (1, 1, 768),
    "decoder_embed.weight": (768, 768),
    "decoder_embed.bias": (768,),
    "decoder_pos_embed_": (1, 7, 768),
    "decoder_blocks.0.norm1.weight": (768,),
    "decoder_blocks.0.norm1.bias": (768,),
    "decoder_pred.weight": (2048, 768),
    "decoder_pred.bias": (2048,),
    "bert_encoder.model.embeddings.LayerNorm.weight": (768,),
}


def checkpoint(norm: str = "fc_norm", depth: int = 12, grid: int = 14, *, distractors: bool = True) -> dict[str, Array]:
    """A whole pre-training checkpoint."""
    shapes = vit_shapes(depth=depth, grid=grid, norm=norm) | (DISTRACTORS if distractors else {})
    return {key: tensor(key, shape) for key, shape in shapes.items()}


def image(shape: Shape, seed: int) -> Array:
    """(B, 1, H, W, D) in −1…1: noise, and slow waves that differ along H, W and D."""
    noise = np.random.RandomState(seed).random_sample(shape).astype(np.float32) * 2 - 1
    h, w, d = np.meshgrid(*(np.linspace(0, 1, side) for side in shape[2:]), indexing="ij", sparse=True)
    wave = 0.5 * np.sin(2.0 * h + 9.0 * w * w + 5.0 * d) + 0.5 * np.cos(7.0 * d - 3.0 * h + 1.0)
    return (0.4 * noise + 0.6 * wave.astype(np.float32)[None, None]).astype(np.float32)


def volume(shape: Shape, seed: int) -> NDArray[np.int16]:
    """(H, W, D) in HU: smooth waves and noise, past ±1000 HU on both sides."""
    noise = np.random.RandomState(seed).standard_normal(shape)
    h, w, d = np.meshgrid(*(np.linspace(0, 1, side) for side in shape), indexing="ij")
    hu = 900 * np.sin(6 * h + 2 * w) + 500 * np.cos(5 * d + 3 * w * w) + 120 * noise
    return np.clip(np.round(hu), -32000, 32000).astype(np.int16)
