"""Distillation: a student learns from a trained teacher, or peers learn from one another while they train.

Logits are compared per AU as Bernoulli distributions softened by a temperature (after Hinton, Vinyals and Dean, 2015);
peers teach each other as in deep mutual learning (Zhang et al., 2018). Feature maps are compared by the angle between
their channel vectors at each position. The combination and all weights are our choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeau.runtime.errors import InputError

from .batches import Batch
from .extra import unlabelled
from .losses import AuLoss
from .models import AuModel, ModelOutput
from .models.eau import smooth_class_weights
from .objectives import Supervised, feed


@dataclass(frozen=True)
class DistillOptions:
    """Weights of the terms that a student learns from.

    Attributes:
        temperature: softens the probabilities of both sides; 1 leaves them unchanged.
        label_weight: weight of the losses against the labels.
        logit_weight: weight of the divergence from the teacher's or the peers' AU probabilities.
        feature_weight: weight of the distance to the teacher's feature maps; not used between peers.
        mixup: parameter of the Beta distribution by which pairs of faces of a batch are blended, alike for teacher and
            student (Zhang et al., 2018; for distillation Beyer et al., CVPR 2022); 0 blends none. With a teacher only.
        unlabelled_weight: weight of the teacher's answers on faces without labels, see AnswerLoss.

    The defaults suit a trained teacher; for peers see PEERS.
    """

    temperature: float = 2.0
    label_weight: float = 0.5
    logit_weight: float = 1.0
    feature_weight: float = 0.5
    mixup: float = 0.0
    unlabelled_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise InputError("temperature", got=str(self.temperature), expected="more than 0")
        weights = (self.label_weight, self.logit_weight, self.feature_weight, self.mixup, self.unlabelled_weight)
        if min(weights) < 0:
            raise InputError("distillation weights", got="a negative one", expected="0 or more")


# Peers know nothing at first, and strong mutual losses then hold both back: after 400 steps a CEDNN -s
# alone had F1 0.445 in validation; two with the weights for a teacher had 0.33 and 0.31, with these 0.43 and 0.41
# (benchmarks/results/training/curves.json).
PEERS = DistillOptions(temperature=1.0, label_weight=1.0, logit_weight=0.3, feature_weight=0.0)


def logit_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean Kullback-Leibler divergence of the teacher's AU probabilities from the student's, times temperature squared.

    Args:
        student, teacher: logits [N, A]; no gradient flows to the teacher.
        temperature: divides both.

    Returns:
        Scalar, 0 if both agree. The square keeps the size of the gradient independent of the temperature.
    """
    soft_teacher = teacher.detach().float() / temperature
    target = torch.sigmoid(soft_teacher)
    own = functional.binary_cross_entropy_with_logits(soft_teacher, target)
    return (functional.binary_cross_entropy_with_logits(student.float() / temperature, target) - own) * temperature**2


def feature_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean of one minus the cosine between channel vectors at each position, after averaging to the smaller map's size.

    Args:
        student, teacher: [N, C, h, w] with the same C; no gradient flows to the teacher.
    """
    size = (min(student.shape[-2], teacher.shape[-2]), min(student.shape[-1], teacher.shape[-1]))
    ours, theirs = (functional.adaptive_avg_pool2d(x.float(), size) for x in (student, teacher.detach()))
    return (1 - functional.cosine_similarity(ours, theirs, dim=1)).mean()


class AnswerLoss(nn.Module):
    """Cross-entropy against a teacher's answers on faces without labels, where the teacher may be wrong.

    An answer counts by its confidence ``|2 p - 1|``, so that undecided ones teach nothing. Presence and absence of each
    AU are weighed by EAU's smooth class weights, by how often the teacher sees the AU, so that rare AUs are not drowned
    by faces without them. Both are our choice.

    Args:
        frequency: share of the faces on which the teacher sees each AU, float [A].
        smoothness: of the class weights.
    """

    present: Tensor
    absent: Tensor

    def __init__(self, frequency: np.ndarray, smoothness: float = 0.5) -> None:
        super().__init__()
        present, absent = smooth_class_weights(torch.tensor(frequency, dtype=torch.float32), smoothness)
        self.register_buffer("present", present, persistent=False)
        self.register_buffer("absent", absent, persistent=False)

    def forward(self, student: Tensor, teacher: Tensor, chosen: Tensor) -> Tensor:
        """Scalar loss of logits [N, A] against the teacher's on the chosen samples, bool [N]; 0 if there are none."""
        answer, logits = torch.sigmoid(teacher.detach().float()), student.float()
        confidence = (2 * answer - 1).abs() * chosen.unsqueeze(1)
        wrong = self.present * answer * functional.softplus(-logits)
        wrong = wrong + self.absent * (1 - answer) * functional.softplus(logits)
        return (confidence * wrong).sum() / confidence.sum().clamp_min(1e-6)


def mixed(batch: Batch, alpha: float) -> tuple[Batch, Batch, float]:
    """Blend each face of a batch with another one.

    Args:
        batch: the batch.
        alpha: both parameters of the Beta distribution that the share is drawn from.

    Returns:
        The batch with blended faces and neutrals, the same with the labels of the other faces, and the share of the
        first labels.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    other = torch.randperm(len(batch.face), device=batch.face.device)

    def blend(image: Tensor) -> Tensor:
        return (share * image + (1 - share) * image[other]).round().to(torch.uint8)

    face = blend(batch.face)
    neutral = None if batch.neutral is None else blend(batch.neutral)
    return (
        Batch(face, neutral, batch.intensity, batch.expression),
        Batch(face, neutral, batch.intensity[other], batch.expression[other]),
        share,
    )


class Teacher:
    """A trained model that only predicts. Not a module, so that it is neither trained, averaged nor saved.

    Args:
        model: the trained model, on the training device.
    """

    def __init__(self, model: AuModel) -> None:
        self.model = model.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> ModelOutput:
        return feed(self.model, batch)


class Distilled(Supervised):
    """Students learning from labels and from a teacher.

    Args:
        members: the students by name.
        au_loss: loss against the labels.
        teacher: the trained model.
        options: see DistillOptions.
        answers: what faces without labels teach; without it they are taught like the others.

    Raises:
        InputError: teacher and students share no AU.
    """

    def __init__(
        self,
        members: Mapping[str, AuModel],
        au_loss: AuLoss,
        teacher: AuModel,
        options: DistillOptions,
        answers: AnswerLoss | None = None,
    ) -> None:
        super().__init__(members, au_loss)
        self.options, self.teacher, self.answers = options, Teacher(teacher), answers
        aus = next(iter(members.values())).config.aus
        self._own, self._theirs = shared_columns(aus, teacher.config.aus)
        width = feature_channels(teacher)
        self.projections = nn.ModuleDict()
        if options.feature_weight > 0:
            for name, model in members.items():
                self.projections[name] = nn.Conv2d(feature_channels(model), width, 1)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        options, share, other = self.options, 1.0, batch
        if options.mixup > 0 and self.training:
            batch, other, share = mixed(batch, options.mixup)
        outputs, taught = self.outputs(batch), self.teacher(batch)
        labelled = self.label_losses(outputs, batch)
        if share < 1:
            second = self.label_losses(outputs, other)
            labelled = {term: share * value + (1 - share) * second[term] for term, value in labelled.items()}
        losses = {term: options.label_weight * value for term, value in labelled.items()}
        extra = unlabelled(batch)
        for name, output in outputs.items():
            ours, theirs = output.au_logits[:, self._own], taught.au_logits[:, self._theirs]
            if self.answers is not None:
                losses[f"{name}/answers"] = options.unlabelled_weight * self.answers(ours, theirs, extra)
                ours, theirs = ours[~extra], theirs[~extra]
            losses[f"{name}/logits"] = options.logit_weight * logit_divergence(ours, theirs, options.temperature)
            if name in self.projections:
                distance = feature_distance(self.projections[name](output.features), taught.features)
                losses[f"{name}/features"] = options.feature_weight * distance
        return losses


class Peers(Supervised):
    """Models that learn from the labels and from one another, each from its mean divergence from all others.

    Args:
        members: two or more models of any architecture.
        au_loss: loss against the labels.
        options: see DistillOptions; ``feature_weight`` is ignored.

    Raises:
        InputError: fewer than two models.
    """

    def __init__(self, members: Mapping[str, AuModel], au_loss: AuLoss, options: DistillOptions) -> None:
        if len(members) < 2:
            raise InputError("peers", got=", ".join(members) or "none", expected="two or more models")
        super().__init__(members, au_loss)
        self.options = options

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        options, outputs = self.options, self.outputs(batch)
        losses = {term: options.label_weight * value for term, value in self.label_losses(outputs, batch).items()}
        for name, output in outputs.items():
            others = [other.au_logits for peer, other in outputs.items() if peer != name]
            lessons = [logit_divergence(output.au_logits, logits, options.temperature) for logits in others]
            losses[f"{name}/peers"] = options.logit_weight * torch.stack(lessons).mean()
        return losses


def shared_columns(own: Sequence[str], theirs: Sequence[str]) -> tuple[list[int], list[int]]:
    """Columns of the common AUs in each list. Raises InputError if there is none."""
    shared = [au for au in own if au in theirs]
    if not shared:
        raise InputError("teacher", got=f"AUs {', '.join(theirs)}", expected=f"some of {', '.join(own)}")
    return [list(own).index(au) for au in shared], [list(theirs).index(au) for au in shared]


@torch.no_grad()
def feature_channels(model: AuModel) -> int:
    """Number of channels of a model's last shared feature map."""
    training = model.training
    size = model.config.size_px
    blank = torch.zeros(1, size, size, 3, dtype=torch.uint8, device=next(model.parameters()).device)
    channels = model.eval()(blank, blank if model.takes_neutral else None).features.shape[1]
    model.train(training)
    return int(channels)
