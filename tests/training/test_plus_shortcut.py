"""What simcrop_plus notices and alignment within a report does not: a toy in which the shortcut is open."""

from __future__ import annotations

import dataclasses

import torch
from simcrop_training.objectives.plus_losses import aligned, between_studies, cosines, selected, unit


@dataclasses.dataclass(frozen=True)
class Toy:
    """Patches that know their place and, with noise, the finding in them; sentences name findings, anywhere."""

    places: int = 16
    kinds: int = 6
    said: int = 3
    strength: float = 1.0
    noise: float = 0.1
    studies: int = 12
    width: int = 12
    top_k: int = 2
    rate: float = 0.02

    def drawn(self, seed, count):
        """Patches, the findings said, and where they are."""
        rng = torch.Generator().manual_seed(seed)
        said = torch.stack([torch.randperm(self.kinds, generator=rng)[: self.said] for _ in range(count)])
        place = torch.stack([torch.randperm(self.places, generator=rng)[: self.said] for _ in range(count)])
        content = self.noise * torch.randn(count, self.places, self.kinds, generator=rng)
        content[torch.arange(count)[:, None], place, said] += self.strength
        return torch.cat([torch.eye(self.places).expand(count, -1, -1), content], dim=2), said, place

    def losses(self, image_map, words, patches, said, softness=0.0):
        """Alignment within reports, and evidence between them."""
        count = len(said)
        patches, sentences = patches @ image_map, words[said]
        shares = selected(cosines(sentences, patches), self.top_k, softness)
        everyone = torch.ones(said.shape, dtype=torch.bool)
        others = ~torch.eye(self.said, dtype=torch.bool).expand(count, -1, -1)
        alignment = aligned(
            shares @ patches, sentences, sentences[:, :1], distinct_BS=everyone, repels_BSS=others,
            rivals_BR=torch.zeros(count, 1, dtype=torch.bool), weights_BS=torch.ones(said.shape), temperature=0.07,
        ).mean()  # fmt: skip
        own = torch.arange(count).repeat_interleave(self.said)
        claims = torch.stack([said.flatten(), 1 << said.flatten(), torch.full_like(own, 3)], dim=1)
        none = torch.zeros(len(own), 2)
        rows = {
            "reports": torch.arange(count), "patches": unit(patches), "sentences": unit(sentences.flatten(0, 1)),
            "sentence_weights": torch.ones(len(own)), "owners": own, "claims": claims, "said": claims, "studies": own,
            "rival_scores": none, "rivals_there": none > 0, "softness": torch.tensor([softness, 1.0]),
        }  # fmt: skip
        return alignment, between_studies([rows], self.top_k, 0.07)

    def learned(self, steps, *, evidence=1.0, softness=0.0, warm_up=1):
        """Hit rate, and both losses with every report's own image and with another's."""
        rng = torch.Generator().manual_seed(1)
        image_map = (0.3 * torch.randn(self.places + self.kinds, self.width, generator=rng)).requires_grad_()
        words = torch.randn(self.kinds, self.width, generator=rng).requires_grad_()
        optimiser = torch.optim.Adam([image_map, words], lr=self.rate)
        for step in range(steps):
            patches, said, _ = self.drawn(10 + step, self.studies)
            soft = softness * max(1 - step / warm_up, 0.0)
            alignment, between = self.losses(image_map, words, patches, said, soft)
            optimiser.zero_grad()
            (alignment + evidence * between).backward()
            optimiser.step()
        patches, said, place = self.drawn(5, 48)
        with torch.no_grad():
            hits = (cosines(words[said], patches @ image_map).argmax(dim=2) == place).float().mean()
            own, other = (self.losses(image_map, words, p, said) for p in (patches, patches.roll(1, dims=0)))
        return float(hits), [float(loss) for loss in own], [float(loss) for loss in other]


def test_alignment_within_a_report_does_not_notice_another_image_and_evidence_does():
    """Sentences that claim a place of their own, whatever is there, satisfy the first and not the second."""
    hits, own, other = Toy().learned(300, evidence=0.0)
    assert hits < 0.2  # chance is 1 / 16
    assert own[0] < 0.1
    assert other[0] < own[0] + 0.02
    hits, own, other = Toy().learned(300)
    assert hits > 0.95
    assert own[1] < 0.3
    assert other[1] > own[1] + 2


def test_where_findings_are_faint_evidence_needs_a_selection_that_begins_soft():
    faint = Toy(places=64, kinds=12, said=4, strength=0.5, noise=0.12, studies=8, width=24, top_k=4, rate=0.01)
    hard, _, _ = faint.learned(400)
    soft, _, _ = faint.learned(400, softness=0.3, warm_up=300)
    assert hard < 0.1  # chance is 1 / 64
    assert soft > 0.7
