"""UNETR: the image encoder with a convolutional decoder that labels every voxel of a window."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.models.config import SegmentationConfig
from simcrop_core.models.patches import coarser_embedding
from simcrop_core.models.state import load_exactly
from simcrop_core.models.unetr_blocks import Convolution, ImageBlock, SkipPath, ToImageSize, UpBlock
from simcrop_core.models.vit import VisionTransformer

# What the released UNETR stores and no forward pass reads: its class token, and ways around residual blocks that keep
# their channels (docs/methods/simcrop.md).
_UNUSED = ("vit.cls_token", *(f"encoder{e}.blocks.{b}.1.conv3.conv.weight" for e, b in ((2, 0), (2, 1), (3, 0))))


_EMBEDDING = "patch_embed.proj.weight"


class WindowEncoder(VisionTransformer):
    """The image encoder inside the UNETR, whose last LayerNorm is stored as `fc_norm`."""

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__(config.vision)
        self.fc_norm = self.norm
        del self.norm

    def final_norm(self, tokens_BNC: Tensor) -> Tensor:
        """The last LayerNorm, token by token."""
        out: Tensor = self.fc_norm(tokens_BNC)
        return out


class Head(nn.Module):
    """One score a label and voxel, behind the name `conv`."""

    def __init__(self, inputs: int, labels: int) -> None:
        super().__init__()
        self.conv = Convolution(inputs, labels, 1, bias=True)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W, D) → (B, labels, H, W, D)."""
        out: Tensor = self.conv(maps)
        return out


class UNETR(nn.Module):
    """The released segmentation network, for any width, window and labels (docs/methods/simcrop.md).

    On a CPU it is quickest as `unetr.to(torch.bfloat16, memory_format=torch.channels_last_3d)`, one window at a time.

    Args:
        config: encoder, window, channels and labels.
    """

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__()
        self.config = config
        dim, f = config.vision.dim, config.feature_size
        self.vit = WindowEncoder(config)
        doublings = len(config.skips)
        self.encoder1 = ImageBlock(f)
        self.encoder2 = SkipPath(dim, 2 * f, more=doublings - 1)
        self.encoder3 = SkipPath(dim, 4 * f, more=doublings - 2)
        if doublings == 3:
            self.encoder4 = SkipPath(dim, 8 * f, more=0)
            self.decoder5 = UpBlock(dim, 8 * f)
        self.decoder4 = UpBlock(8 * f if doublings == 3 else dim, 4 * f)
        self.decoder3 = UpBlock(4 * f, 2 * f)
        self.decoder2 = ToImageSize(2 * f, f)
        self.out = Head(f, len(config.labels))

    def forward(self, images_B1HWD: Tensor) -> Tensor:
        """Label one window.

        Args:
            images_B1HWD: intensities in −1…1; cast to the weights' type.

        Returns:
            (B, labels, H, W, D) scores before softmax.

        Raises:
            ValueError: the images do not have the window's shape.
        """
        images_B1HWD = images_B1HWD.to(self.decoder2.conv3d.weight.dtype)
        tokens, (hidden2, hidden3, *deepest) = self.vit.with_hidden(images_B1HWD, self.config.skips)
        maps = self._as_grid(tokens)
        if deepest:
            maps = self.decoder5(maps, self.encoder4(self._as_grid(deepest[0])))
        maps = self.decoder4(maps, self.encoder3(self._as_grid(hidden3)))
        maps = self.decoder3(maps, self.encoder2(self._as_grid(hidden2)))
        maps = self.decoder2(maps, self.encoder1(images_B1HWD))
        scores: Tensor = self.out(maps)
        return scores

    def _as_grid(self, tokens_BNC: Tensor) -> Tensor:
        """(B, N, C) → (B, C, h, w, d), channels last in memory."""
        batch, _, dim = tokens_BNC.shape
        return tokens_BNC.view(batch, *self.config.vision.grid, dim).permute(0, 4, 1, 2, 3)

    def load_tensors(self, state: Mapping[str, Tensor]) -> None:
        """Take all tensors of a weights file or of a released fine-tuned model.

        The released model's tensors that nothing reads are left aside. A stored position table takes the place of
        the built one, and may be absent unless the configuration says "checkpoint".

        Raises:
            IncompatibleWeights: a key is missing or unexpected, or a shape disagrees; nothing was taken.
        """
        built = self.config.vision.positions != "checkpoint"
        used = {key: tensor for key, tensor in state.items() if key not in _UNUSED}
        load_exactly(self, used, optional={"vit.pos_embed"} if built else ())

    def load_encoder(self, state: Mapping[str, Tensor]) -> list[str]:
        """Start from a pre-trained image encoder, by the rule of the released code.

        Class token and position table are not taken: the window's grid is another one. The last LayerNorm is taken
        from `fc_norm.*` and otherwise left as it is; `norm.*` is not taken for it.

        Args:
            state: the image encoder's tensors by their canonical names, perhaps among others. Its patches may have
                more voxels, by a whole factor along each axis, where they are as large in millimetres.

        Returns:
            The names that were not taken.

        Raises:
            IncompatibleWeights: a tensor of the patch embedding or of a block is missing or has another shape, or
                the encoder is deeper; nothing was taken.
        """
        deeper = [k for k in state if k.startswith("blocks.") and int(k.split(".")[1]) >= self.config.vision.depth]
        if deeper:
            raise IncompatibleWeights(
                f"The encoder has more than the {self.config.vision.depth} blocks of the segmentation model.",
                hint="Set the segmentation model's depth to the encoder's.",
            )
        wanted = self.vit.state_dict().keys() - {"pos_embed"}
        taken = {key: state[key] for key in state if key in wanted}
        if _EMBEDDING in taken:
            taken[_EMBEDDING] = coarser_embedding(taken[_EMBEDDING], self.config.vision.patch)
        load_exactly(self.vit, taken, optional={"pos_embed", "fc_norm.weight", "fc_norm.bias"})
        return [key for key in state if key not in taken]
