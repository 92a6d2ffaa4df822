"""`tinylm bench align`: one update of alignment, loss, backward pass and optimizer.

For two sizes of model: a step of DPO on 8 pairs (the reference's log-probabilities are known), and
an update of a policy on 16 responses whose advantages are known: the clipped loss of GRPO, and that
of PPO with its critic. Prompts are 3/8 of the context, answers the rest.
Where TRL is installed, its own losses take their turns on the same weights and the same batch
(peer_trl.py), and the result is the ratio within a round; losses must agree to 1e-4. TRL's newer
versions have no PPO any more, so PPO's update has no peer. Read next: peer_trl.py.
"""

import statistics
import time
from importlib.util import find_spec

import numpy as np

from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.logprobs import frozen_logprobs
from tinylm.align.preference.tuning import DPO, prepared
from tinylm.align.rewards.reward_model import ValueModel
from tinylm.align.rlhf.experience import Sample
from tinylm.align.rlhf.methods import GRPO, PPO
from tinylm.align.rlhf.models import ActorCritic
from tinylm.align.rlhf.objective import PolicyObjective
from tinylm.backend import Random
from tinylm.cli.measure.workloads import ADAMW, CLIP, WORKS
from tinylm.errors import TinylmError
from tinylm.finetune.instruct.conversations import Encoded
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.models import GPT
from tinylm.optim import AdamW, FlatParameters
from tinylm.train.trainer import train_step

SIZES = ("W3", "W1")  # of WORKS
PAIRS, RESPONSES = 8, 16
BETA, BOUND = 0.1, 0.2
NO_PEER = "TRL is not installed, so only tinylm is timed; `pip install trl` and run this again"


def texts(work, rng, prompts):
    """A text of full length after each of some prompts: list of Encoded.

    prompts  (n, P) ids
    """
    (n, P), T = prompts.shape, work.context
    ids = np.concatenate([prompts, rng.integers(0, work.vocab_size, (n, T - P))], axis=1)
    return [Encoded(row.astype(np.int64), np.arange(T) >= P) for row in ids]


def drawn_prompts(work, rng, count):
    """(count, P) ids."""
    return rng.integers(0, work.vocab_size, (count, 3 * work.context // 8))


class Update:
    """One update again and again: a model, its batch, and what TRL needs to do the same.

    model      Module;  objective  task with loss();  batch  of it
    """

    def __init__(self, model, objective, batch):
        self.model, self.objective, self.batch = model, objective, batch
        self.optimizer = AdamW(FlatParameters(model.named_parameters()), **ADAMW)

    def step(self):
        """Loss, backward pass and optimizer: the loss before the update."""
        rows = len(self.batch)
        arguments = self.model, self.objective, self.optimizer, self.batch, 0, rows
        return train_step(*arguments, ADAMW["lr"], CLIP).loss


def base(work):
    """The model that all updates begin from."""
    return GPT(work.config(), seed=1)


def dpo_update(work):
    """An Update of DPO, and its pairs with their reference."""
    rng = Random(0, "bench", "pairs")
    prompts = drawn_prompts(work, rng, PAIRS)
    sides = texts(work, rng, prompts), texts(work, rng, prompts)
    pairs = [EncodedPair(chosen, rejected) for chosen, rejected in zip(*sides)]
    model, task = base(work).eval(), DPO("dpo", {"beta": BETA})
    pairs = prepared(model, task, pairs, PAIRS)
    return Update(model, task, task.make_batch(pairs)), pairs


def policy_update(work, method, critic=None):
    """An Update of a policy by a method, and its samples: log-probabilities of the policy itself,
    and advantages that are drawn.
    """
    rng, model = Random(0, "bench", "responses"), base(work)
    rows = texts(work, rng, drawn_prompts(work, rng, RESPONSES))
    logp, counted = frozen_logprobs(model, InstructionTuning().make_batch(rows))
    old = logp[counted].reshape(RESPONSES, -1).astype(np.float64)  # (N, L)
    samples = []
    for text, row, advantage in zip(rows, old, rng.normal((RESPONSES,))):
        one = Sample(text, old=row, advantages=advantage)
        if critic is not None:
            same = np.full(row.shape, advantage)
            one = Sample(text, row, values=0 * row, advantages=same, returns=same)
        samples.append(one)
    objective = PolicyObjective(method, old.shape[1])
    objective.fresh = False  # the check of the first ratio is no part of an update
    batch = objective.make_batch(samples)
    return Update(ActorCritic(model, critic).eval(), objective, batch), samples


def ppo_update(work):
    """An Update of PPO with a critic."""
    return policy_update(work, PPO(clip=BOUND), ValueModel(base(work), seed=2))


def grpo_update(work):
    """An Update of GRPO without a penalty."""
    return policy_update(work, GRPO(kl="none", clip=BOUND))


# name: (function of a Work that makes an Update, TRL's name of the same or None)
UPDATES = {
    "DPO step": (dpo_update, "dpo"),
    "GRPO update": (grpo_update, "grpo"),
    "PPO update": (ppo_update, None),
}


def timed(step, seconds):
    """Seconds a step, over as many steps as take about `seconds`, one at least."""
    begun, count = time.perf_counter(), 0
    while not count or time.perf_counter() - begun < seconds:
        step()
        count += 1
    return (time.perf_counter() - begun) / count


def bench(rounds, seconds, peers=True):
    """Yield a dict for each update: name, ours, theirs (None without a peer), ratios.

    raises   TinylmError if the losses of tinylm and TRL differ by more than 1e-4
    """
    make_peer = None
    if peers and find_spec("trl") and find_spec("torch"):
        from tinylm.cli.measure.peer_trl import TRLPeer

        make_peer = TRLPeer
    for size in SIZES:
        for name, (make, theirs) in UPDATES.items():
            update, examples = make(WORKS[size])
            peer = None
            if make_peer and theirs:
                peer = make_peer(base(WORKS[size]), theirs, examples)
                same_work(name, update.step(), peer.step())
            timed(update.step, seconds / 4)  # caches are filled
            ours, others = [], []
            for _ in range(rounds):
                ours.append(timed(update.step, seconds))
                if peer:
                    others.append(timed(peer.step, seconds))
            yield row(f"{size} {name}", ours, others)


def same_work(name, ours, theirs):
    """Raise TinylmError if the losses of the first step differ."""
    if not abs(ours - theirs) <= 1e-4:
        raise TinylmError(
            f"bench align: the loss of the first {name} is {ours:.6f}, and TRL's is {theirs:.6f}: "
            "not the same work"
        )


def row(name, ours, theirs):
    """The figures of one update."""
    found = {"name": name, "ours": statistics.median(ours), "theirs": None}
    if theirs:
        ratios = [b / a for a, b in zip(ours, theirs)]
        found |= {
            "theirs": statistics.median(theirs),
            "ratio_min": min(ratios),
            "ratio_median": statistics.median(ratios),
            "ratio_max": max(ratios),
        }
    return found


def line(found):
    """A row as text."""
    text = f"  {found['name']:<16}{1e3 * found['ours']:8.1f} ms"
    if found["theirs"] is None:
        return text
    return (
        f"{text}, TRL {1e3 * found['theirs']:.1f} ms: {found['ratio_median']:.2f} times as fast "
        f"({found['ratio_min']:.2f} .. {found['ratio_max']:.2f})"
    )
