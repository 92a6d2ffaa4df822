"""Gradient-check cases of the losses of scores, and of a reward model. Labels, margins and targets
are constants.
"""

import numpy as np

from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.rewards import pairwise, pointwise, rankings
from tinylm.align.rewards.fusion import FusionNetwork
from tinylm.align.rewards.marked import marked_text
from tinylm.align.rewards.modeling import RewardModeling
from tinylm.align.rewards.process_model import ProcessModeling, ProcessRewardModel
from tinylm.align.rewards.reward_model import RewardModel, ValueModel
from tinylm.align.rewards.segment_modeling import SegmentModeling
from tinylm.autograd.primitives.cases import normal, uniform
from tinylm.autograd.registry import call, register
from tinylm.finetune.freezing import only
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.tasks.cases import loss_of
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.gpt import GPT
from tinylm.models.early.cases import ready
from tinylm.nn.module import Module

# a ranking of 4 responses, and one of 2 that leaves its last places empty
UNEQUAL = np.array([[True, True, True, True], [True, True, False, False]])
OUTCOMES = np.array([1, 0, -1])
SIGNS = np.array([[1, -1, 1], [-1, -1, 1]])
SEGMENTS = np.array([[True, True, True], [True, False, False]])


def _register(function, draw, source, **fields):
    name = f"align.{function.__name__}"
    register(name, function, draw, covers=(), source=source, **fields)


_register(
    pairwise.pairwise_loss,
    lambda rng: [
        call(normal(rng, 3), normal(rng, 3)),
        call(normal(rng, 3), normal(rng, 3), margin=np.array([0, 1, 2]), center=0.3),
    ],
    "book eqs. 4.36, 4.63",
)
_register(
    pairwise.soft_pairwise_loss,
    lambda rng: [call(normal(rng, 3), normal(rng, 3), probability=np.array([1, 0, 0.75]))],
    "book section 4.4.3",
)
_register(
    pairwise.pairwise_loss_with_ties,
    lambda rng: [call(normal(rng, 3), normal(rng, 3), OUTCOMES, tie=0.7)],
    "Davidson 1970",
)
_register(
    rankings.listwise_pairwise_loss,
    lambda rng: [
        call(normal(rng, 2, 4)),
        call(normal(rng, 2, 4), normalizer="C(N,2)", counted=UNEQUAL),
    ],
    "book eq. 4.57",
)
_register(
    rankings.plackett_luce_logprob,
    lambda rng: [call(normal(rng, 2, 4)), call(normal(rng, 2, 4), counted=UNEQUAL)],
    "book eq. 4.60",
)
_register(
    rankings.ranknet_loss,
    lambda rng: [call(normal(rng, 2, 3), targets=rankings.pair_targets([[2, 1, 1], [0, 3, 1]]))],
    "Burges et al. 2005",
)
_register(
    rankings.listnet_loss,
    lambda rng: [call(normal(rng, 2, 3), targets=np.array([[0.5, 0.25, 0.25], [0, 1, 0]]))],
    "Cao et al. 2007",
)
_register(
    pointwise.pointwise_loss,
    lambda rng: [
        call(normal(rng, 3), ratings=np.array([1, 5, 3])),
        call(normal(rng, 2, 3), ratings=np.ones((2, 3)), counted=SEGMENTS),
    ],
    "book eqs. 4.62, 4.70",
)
_register(
    pointwise.hinge_loss,
    lambda rng: [
        call(uniform(rng, -2, 2, 2, 3), labels=SIGNS),
        call(uniform(rng, -2, 2, 2, 3), labels=SIGNS, counted=SEGMENTS),
    ],
    "book eq. 4.71",
    avoid=lambda scores, labels, counted=None: np.min(np.abs(1 - scores * labels)),
)

PAIRS = [
    EncodedPair(encode_sft([0, 1], [2, 4]), encode_sft([0, 1], [3, 2, 4])),
    EncodedPair(encode_sft([1], [3, 4]), encode_sft([1], [4]), probability=0.75, margin=0.5),
]
# the same rows padded at the left, at the right, and not at all
ROWS = np.array([[4, 4, 0, 1, 2], [1, 3, 2, 4, 4], [0, 1, 2, 3, 4]])
TOKENS = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
ONCE = "the decoder is checked to second order by itself"


def decoder(rng: np.random.Generator) -> Module:
    """The smallest GPT, frozen but for its last norm."""
    sizes = {"n_layer": 1, "n_head": 1, "d_model": 4, "d_hidden": 3}
    seed = int(rng.integers(99))
    model = ready(GPT(GPTConfig(5, context=6, **sizes), seed, np.float64))
    return only(model, "norm.*").eval()


register(
    "align.RewardModeling",
    loss_of,
    lambda rng: [
        call(RewardModel(decoder(rng)).eval(), RewardModeling(), PAIRS),
        call(RewardModel(decoder(rng)).eval(), RewardModeling(center=0.3), PAIRS),
    ],
    order=1,
    reason=ONCE,
    covers=(),
    source="book eqs. 4.34, 4.38",
)
register(
    "align.ValueModel",
    lambda model, ids, mask: model(ids, mask),
    lambda rng: [call(ValueModel(decoder(rng)).eval(), ROWS, TOKENS)],
    order=1,
    reason=ONCE,
    covers=(),
    source="book section 4.3.3",
)
register(
    "align.SegmentModeling",
    loss_of,
    lambda rng: [
        call(
            ValueModel(decoder(rng)).eval(),
            SegmentModeling(),
            [
                marked_text([0], [[1, 2], [3]], [0.5, -1.0]),
                marked_text([1, 2], [[4]], [2.0]),
            ],
        )
    ],
    order=1,
    reason=ONCE,
    covers=(),
    source="book eq. 4.70",
)
register(
    "align.ProcessModeling",
    loss_of,
    lambda rng: [
        call(
            ready(ProcessRewardModel(decoder(rng)).eval()),
            ProcessModeling(),
            [
                marked_text([0], [[1, 2], [3]], ["correct", "incorrect"]),
                marked_text([1, 2], [[4]], ["correct"]),
            ],
        )
    ],
    order=1,
    reason=ONCE,
    covers=(),
    source="book section 4.4.4",
)


def fusion(rng: np.random.Generator) -> FusionNetwork:
    """A network whose last layer, 0 at first, is drawn."""
    model = FusionNetwork(2, 3, dtype=np.float64)
    model.out.weight.data[...] = normal(rng, 3, 1)
    return model


register(
    "align.FusionNetwork",
    lambda model, rewards: model(rewards),
    lambda rng: [call(fusion(rng), normal(rng, 3, 2))],
    covers=(),
    source="book section 4.4.1.4",
)
