"""What `tinylm bench align` times: updates of DPO, GRPO and PPO, and drawing responses.

Sizes W3 and W1 have prompts of 3/8 of the context and answers of the rest. "assistant" is the tiny
assistant of scripts/4_alignment/alignment_pipeline.py: its batches, and short texts of about its
lengths. Tokens are drawn uniformly, so that no two answers begin alike by their meaning. Read next:
bench_align.py.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.logprobs import frozen_logprobs
from tinylm.align.preference.pairs import PreferenceBatch
from tinylm.align.preference.tuning import DPO, prepared
from tinylm.align.rewards.reward_model import ValueModel
from tinylm.align.rlhf.experience import Sample
from tinylm.align.rlhf.methods import GRPO, PPO
from tinylm.align.rlhf.models import ActorCritic
from tinylm.align.rlhf.objective import PolicyObjective
from tinylm.align.rlhf.rollout import roll_out
from tinylm.backend import Random
from tinylm.cli.measure.workloads import ADAMW, CLIP, WORKS, Work
from tinylm.finetune.instruct.conversations import Encoded, encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.models import GPT
from tinylm.optim import AdamW, FlatParameters
from tinylm.train.step import train_step

BETA, BOUND = 0.1, 0.2
DRAWING = "drawing"


@dataclass(frozen=True)
class AlignWork:
    """A model and the batches of its alignment.

    prompt  tokens of a prompt;  answer (fewest, most) tokens of an answer
    pairs   of a step of DPO
    grpo    (prompts, answers to each) of an update
    ppo     (prompts, answers to each, rows): of these answers, some rows are a minibatch
    """

    work: Work
    prompt: int
    answer: tuple
    pairs: int
    grpo: tuple
    ppo: tuple

    def base(self) -> GPT:
        """The model that all updates begin from."""
        return GPT(self.work.config(), seed=1).eval()

    def prompts(self, rng: Random, count: int) -> np.ndarray:
        """(count, P) ids."""
        return rng.integers(0, self.work.vocab_size, (count, self.prompt))

    def texts(self, rng: Random, prompts: Any) -> list[Encoded]:
        """An answer to each of some prompts: list of Encoded."""
        low, high = self.answer
        lengths = rng.integers(low, high + 1, (len(prompts),))
        vocab = self.work.vocab_size
        return [encode_sft(x, rng.integers(0, vocab, (n,))) for x, n in zip(prompts, lengths)]


def _by_context(work):
    """The AlignWork of a Work: prompts and answers fill its context."""
    prompt = 3 * work.context // 8
    return AlignWork(work, prompt, (work.context - prompt,) * 2, 8, (2, 8), (16, 1, 16))


SIZES = {
    "W3": _by_context(WORKS["W3"]),
    "W1": _by_context(WORKS["W1"]),
    "assistant": AlignWork(Work(3, 4, 64, 64, 32, 78), 14, (4, 12), 32, (16, 8), (16, 4, 32)),
}


class Update:
    """One update again and again: a model and its batch.

    model      Module;  objective  task with loss();  batch  of it
    """

    def __init__(self, model: GPT, objective: DPO, batch: PreferenceBatch) -> None:
        self.model, self.objective, self.batch = model, objective, batch
        self.optimizer = AdamW(FlatParameters(model.named_parameters()), **ADAMW)

    def step(self) -> float:
        """Loss, backward pass and optimizer: the loss before the update."""
        rows = len(self.batch)
        arguments = self.model, self.objective, self.optimizer, self.batch, 0, rows
        return train_step(*arguments, ADAMW["lr"], CLIP).loss


def dpo_update(size: AlignWork) -> tuple:
    """An Update of DPO, and its pairs with their reference."""
    rng = Random(0, "bench", "pairs")
    prompts = size.prompts(rng, size.pairs)
    sides = size.texts(rng, prompts), size.texts(rng, prompts)
    pairs = [EncodedPair(chosen, rejected) for chosen, rejected in zip(*sides)]
    model, task = size.base(), DPO("dpo", {"beta": BETA})
    pairs = prepared(model, task, pairs, size.pairs)
    return Update(model, task, task.make_batch(pairs)), pairs


def policy_update(
    size: AlignWork, method: Any, prompts: Any, group: Any, rows: Any, critic: bool | None = None
) -> tuple:
    """An Update of a policy by a method, and its samples: log-probabilities of the policy itself,
    and advantages that are drawn.
    """
    rng, model = Random(0, "bench", "responses"), size.base()
    texts = size.texts(rng, np.repeat(size.prompts(rng, prompts), group, axis=0))
    if rows < len(texts):  # minibatches are drawn from all answers
        texts = [texts[i] for i in rng.permutation(len(texts))[:rows]]
    logp, counted = frozen_logprobs(model, InstructionTuning().make_batch(texts))
    samples = []
    for text, row, held, advantage in zip(texts, logp, counted, rng.normal((rows,))):
        old = row[held].astype(np.float64)  # (n,)
        more = {"advantages": advantage}
        if critic is not None:
            same = np.full(old.shape, advantage)
            more = {"values": 0 * old, "advantages": same, "returns": same}
        samples.append(Sample(text, old=old, **more))
    objective = PolicyObjective(method, size.answer[1])
    objective.fresh = False  # the check of the first ratio is no part of an update
    batch = objective.make_batch(samples)
    return Update(ActorCritic(model, critic).eval(), objective, batch), samples


def grpo_update(size: AlignWork) -> tuple:
    """An Update of GRPO without a penalty."""
    prompts, group = size.grpo
    return policy_update(size, GRPO(kl="none", clip=BOUND), prompts, group, prompts * group)


def ppo_update(size: AlignWork) -> tuple:
    """An Update of PPO with a critic."""
    critic = ValueModel(size.base(), std=0.0)  # values of 0 at first
    return policy_update(size, PPO(clip=BOUND), *size.ppo, critic)


class Drawing:
    """Drawing the responses of a step of GRPO, all of the same length, as no token ends them."""

    def __init__(self, size: AlignWork) -> None:
        self.model, self.tokens = size.base(), size.answer[1]
        prompts, group = size.grpo
        rows = size.prompts(Random(0, "bench", "prompts"), prompts)
        self.prompts = np.repeat(rows, group, axis=0)  # (N, P)

    def step(self) -> int:
        """Draw all of them: the number of tokens."""
        seeds = range(len(self.prompts))
        return int(roll_out(self.model, self.prompts.tolist(), self.tokens, seeds).counted.sum())


# name: function of an AlignWork that makes (an Update, what the peer learns from)
UPDATES = {"DPO step": dpo_update, "GRPO update": grpo_update, "PPO update": ppo_update}
