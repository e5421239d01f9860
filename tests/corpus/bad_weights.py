"""Weights that are damaged or hostile in one way each: how they are made, and the code of their refusal."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile

import torch

UNSAFE, UNKNOWN, INCOMPATIBLE = "unsafe-weights", "unknown-weights", "incompatible-weights"


def file(name, content):
    """A maker of a file with this content."""

    def make(folder, _sound):
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def safetensors(header, body=b"", size=None):
    """A file whose header is this and says to be `size` bytes long."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + body


def cut(folder, sound):
    path = folder / "cut.safetensors"
    content = (sound / "grounding.safetensors").read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def wrong_shapes(folder, sound):
    from safetensors.torch import load, save

    content = (sound / "grounding.safetensors").read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    kept = json.loads(content[8 : 8 + size])["__metadata__"]
    tensors = {key: tensor[..., :1].contiguous() for key, tensor in load(content).items()}
    (folder / "set").mkdir()
    path = folder / "set" / "grounding.safetensors"
    path.write_bytes(save(tensors, kept))
    return path


class Touches:
    """Unpickled, it runs a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"echo ran > {self.path}",)


def malicious(folder, _sound):
    path = folder / "model.pth"
    torch.save({"model": {"w": Touches(folder / "ran")}}, path)
    return path


def malicious_plain(folder, _sound):
    path = folder / "model.bin"
    path.write_bytes(pickle.dumps({"model": Touches(folder / "ran")}))
    return path


def torch_cut(folder, _sound):
    path = folder / "model.pth"
    torch.save({"model": {"w": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:-500])
    return path


def no_tensors(folder, _sound):
    path = folder / "model.pth"
    torch.save({"epoch": 3}, path)
    return path


def zip_without_pickle(folder, _sound):
    path = folder / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/readme.txt", "nothing")
    return path


ENDLESS = {"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
OVERLAPPING = {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}
SAFETENSORS = {
    "weights-empty": (file("w.safetensors", b""), UNKNOWN),
    "weights-text": (file("w.safetensors", b"not weights at all, but text"), UNKNOWN),
    "weights-cut": (cut, UNKNOWN),
    "weights-header-promises": (file("w.safetensors", safetensors({}, size=2**62)), UNKNOWN),
    "weights-header-no-json": (file("w.safetensors", safetensors(b"{not json")), UNKNOWN),
    "weights-tensor-of-terabytes": (file("w.safetensors", safetensors(ENDLESS)), UNKNOWN),
    "weights-tensor-lies": (file("w.safetensors", safetensors(OVERLAPPING, b"\0" * 16)), UNKNOWN),
    "weights-wrong-shapes": (wrong_shapes, INCOMPATIBLE),
}
PICKLES = {
    "weights-malicious": (malicious, UNSAFE),
    "weights-malicious-plain": (malicious_plain, UNSAFE),
    "weights-pickle-cut": (torch_cut, UNKNOWN),
    "weights-pickle-no-tensors": (no_tensors, UNKNOWN),
    "weights-pickle-empty": (file("model.pth", b""), UNKNOWN),
    "weights-pickle-text": (file("model.pth", b"no pickle"), UNKNOWN),
    "weights-pickle-zip": (zip_without_pickle, UNKNOWN),
}
