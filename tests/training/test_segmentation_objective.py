"""What the objective `segmentation` minimises."""

import numpy as np
import pytest
import torch
from simcrop_training.data.sample import Sample
from simcrop_training.objectives.segmentation import Segmentation, SegmentationSettings, Windows

from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.config import SegmentationConfig, VisionConfig
from simcrop_core.models.presets import SEGMENTATION_PRESETS

SHAPE = (16, 16, 8)
LABELS = ("background", "lung", "trachea", "liver")


@pytest.fixture
def objective():
    vision = VisionConfig(SHAPE, (8, 8, 4), dim=24, depth=2, heads=2, cls_token=False)
    frame = FrameConfig(spacing_mm=(3.0, 3.0, 6.0), shape=SHAPE, patch=(8, 8, 4))
    config = SegmentationConfig(vision, frame, LABELS, feature_size=4, skips=(0, 1))
    return Segmentation(config, SegmentationSettings(), synthetic=[], real=[], held_out=[], seed=1)


def drawn():
    labels = np.zeros(SHAPE, np.int64)
    labels[:8, :, :4], labels[8:, :8, 4:] = 1, 3
    labels[12, 12, :6] = 2
    return Windows(torch.zeros(1, 1, *SHAPE), torch.from_numpy(labels)[None], [(1, 2, 3)])


class Scores(torch.nn.Module):
    """A network whose answer is its parameters."""

    def __init__(self, scores):
        super().__init__()
        self.scores = torch.nn.Parameter(torch.from_numpy(scores).float())

    def forward(self, images):
        return self.scores.expand(len(images), *self.scores.shape)


def literal(scores, labels):
    """In float64, label by label: one minus Dice, and minus log of the share, each label by the root of its voxels."""
    shares = np.exp(scores) / np.exp(scores).sum(0)
    dice, said, weight = [], 0.0, 0.0
    for index in range(len(scores)):
        here = labels == index
        dice.append(1 - 2 * shares[index][here].sum() / (shares[index].sum() + here.sum()))
        said -= np.log(shares[index][here]).sum() / np.sqrt(here.sum())
        weight += np.sqrt(here.sum())
    return np.mean(dice) + said / weight


def test_loss_is_dice_and_entropy_by_the_roots_of_the_voxels(objective):
    rng = np.random.default_rng(0)
    scores, batch = rng.normal(size=(4, *SHAPE)), drawn()
    objective.module = Scores(scores)
    assert float(objective.losses(batch)["loss"].detach()) == pytest.approx(
        literal(scores, batch.labels_BHWD[0].numpy()), rel=1e-5
    )


def test_an_organ_given_up_is_taken_up_again(objective):
    """With the score of the trachea at nothing everywhere, the loss still asks for more of it where it is."""
    scores = np.zeros((4, *SHAPE))
    scores[2] = -12
    batch = drawn()
    objective.module = network = Scores(scores)
    objective.losses(batch)["loss"].backward()
    here = batch.labels_BHWD[0] == 2
    wanted = -network.scores.grad[2][here]
    others = torch.stack([-network.scores.grad[i][batch.labels_BHWD[0] == i].mean() for i in (0, 1, 3)])
    assert (wanted > 5 * others.max()).all()


def test_what_a_scan_does_not_know_is_background_there(objective):
    """Scores of unknown organs may go anywhere among themselves and the background."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(4, *SHAPE))
    batch = drawn()
    labels = torch.where(batch.labels_BHWD == 1, 1, 0)
    partly = Windows(batch.images_B1HWD, labels, [(1,)])
    objective.module = Scores(scores)
    merged = np.stack([np.log(np.exp(scores[[0, 2, 3]]).sum(0)), scores[1]])
    expected = literal(merged, labels[0].numpy())
    assert float(objective.losses(partly)["loss"].detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("zoom", [0.83, 0.93, 1.0])
def test_labels_of_a_window_lie_where_its_intensities_lie(zoom):
    objective = Segmentation(
        SEGMENTATION_PRESETS["small"], SegmentationSettings(), synthetic=[], real=[], held_out=[], seed=1
    )
    grid = np.ogrid[:224, :224, :112]
    ball = sum(
        ((axis - (count - 1) / 2) / (0.3 * count)) ** 2 for axis, count in zip(grid, (224, 224, 112), strict=True)
    )
    labels = (ball < 1).astype(np.uint8)
    sample = Sample(np.where(labels, 200, -900).astype(np.int16), labels, (1,), ())
    image, label = objective._window(sample, (0, 0, 0), objective._extent(zoom))
    bright = np.argwhere(image[0].numpy() > image.mean().item()).mean(0)
    assert np.argwhere(label.numpy() == 1).mean(0) == pytest.approx(bright, abs=0.1)


@pytest.mark.parametrize(("inside", "around"), [(8, 14), (6, 1)])
@pytest.mark.parametrize("radius", [4, 7])
def test_labels_of_a_window_keep_their_volume_whatever_their_numbers(inside, around, radius):
    """Of tubes as wide as an oesophagus, or a trachea, when two voxels become one and surfaces lie between them."""
    objective = Segmentation(
        SEGMENTATION_PRESETS["small"], SegmentationSettings(), synthetic=[], real=[], held_out=[], seed=1
    )
    x, y, _ = np.ogrid[:224, :224, :112]
    tubes, rng = np.zeros((224, 224, 112), bool), np.random.default_rng(0)
    for corner in np.ndindex(6, 6):
        middle = 30 * np.array(corner) + 30 + rng.uniform(0, 2, 2)
        tubes |= (x - middle[0]) ** 2 + (y - middle[1]) ** 2 < radius**2
    labels = np.where(tubes, inside, around).astype(np.uint8)
    sample = Sample(np.zeros(labels.shape, np.int16), labels, (inside, around), ())
    _, found = objective._window(sample, (0, 0, 0), objective._extent(1.0))
    assert np.mean(found.numpy() == inside) == pytest.approx(tubes.mean(), rel=0.03)
