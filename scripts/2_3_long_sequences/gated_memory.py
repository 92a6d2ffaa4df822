"""A memory of keys and values beside attention, mixed in by a gate of each head: book section
2.3.3.2, eqs. 2.64 to 2.66, Fig. 2.7 (Memorizing Transformers; Wu et al. 2022).

Claims: a frozen model whose attention no longer reaches the facts finds them in stored keys and
values; only a gate has to be learned, one number a head; a learned gate is better than one half;
one softmax over local and stored keys needs no gate. A GPT of two layers learns to recall: the
first half of a text lists pairs (key, value), the second asks for half of them again. Then it is
frozen, and the halves no longer see each other. The second half's last layer gets the first half's
keys and values as its memory, in five ways: not at all, in one softmax, with all gates at 1/2, with
learned gates, and the whole attention as it was in training (the best that can be hoped for). The
score is the share of values that are predicted. `python scripts/2_3_long_sequences/gated_memory.py
[--seed N] [--device cpu] [--quick]`; --quick has 2 seeds. MINUTES.

Measured output:

OUTPUT
"""

import argparse
import time

import numpy as np

import tinylm as tl
from tinylm.backend import to_device
from tinylm.models import GPT, GPTConfig
from tinylm.nn import Module
from tinylm.nn.attention.multi_head import merge_heads, projected
from tinylm.nn.memory.retrieved import HeadGate, gated_attention, joint_attention
from tinylm.optim import AdamW
from tinylm.optim.schedule import cosine
from tinylm.pretrain import IGNORE, Batch, CausalLM
from tinylm.train import train_step
from tinylm.train.compare import Claim, mean_and_range

PAIRS, KEYS, VALUES, HALF = 8, 24, 12, 16  # pairs in a text; different keys and values; tokens
WIDTH, HEADS, BATCH = 48, 4, 64
STEPS, RATE = 1500, 3e-3
GATE_STEPS, GATE_RATE = 150, 0.1
CHANCE = 1 / VALUES

FOUND = Claim(
    "a gated memory finds what local attention cannot", "2.3.3.2", least=0.1, floor=CHANCE
)
LEARNED = Claim("a learned gate is better than one half", "2.3.3.2", limit=1.0, floor=CHANCE)
JOINT = Claim(
    "one softmax loses at most 0.02 against learned gates", "2.3.3.2", least=-0.02, floor=CHANCE
)


def texts(rows, rng):
    """A Batch: HALF tokens of pairs, then HALF tokens that ask for them in another order.

    inputs   (rows, 2 HALF - 1)
    targets  of that shape: the values of the second half, IGNORE elsewhere
    """
    keys = rng.uniform((rows, KEYS)).argsort(1)[:, :PAIRS]  # different keys in a text
    values = KEYS + rng.integers(0, VALUES, (rows, PAIRS))
    pairs = np.stack([keys, values], axis=2)  # (rows, PAIRS, 2)
    order = rng.uniform((rows, PAIRS)).argsort(1)
    again = np.take_along_axis(pairs, order[:, :, None], axis=1)
    ids = np.concatenate([pairs, again], axis=1).reshape(rows, 2 * HALF)
    targets = np.full((rows, 2 * HALF - 1), IGNORE)
    targets[:, HALF::2] = ids[:, HALF + 1 :: 2]  # after a key of the second half: its value
    return Batch(ids[:, :-1], targets)


def pretrained(seed, device):
    """A GPT that recalls pairs of its own text, with attention over all of it."""
    config = GPTConfig(KEYS + VALUES, 2 * HALF, 2, HEADS, WIDTH)
    model = GPT(config, seed=seed).to(device)
    optimizer = AdamW(tl.optim.FlatParameters(model.named_parameters()), weight_decay=0.0)
    rng, objective = tl.Random(seed, "pairs"), CausalLM()
    for step in range(STEPS):
        rate = RATE * cosine(step, STEPS, warmup=50)
        train_step(model, objective, optimizer, texts(BATCH, rng), 0, BATCH, rate, 1.0)
    return model


class WithMemory(Module):
    """Attention of two halves that do not see each other; the second has the first as its memory.

    base  the SelfAttention of a trained model
    how   "none" | "joint" | "half" | "gates"
    """

    def __init__(self, base, how):
        self.base, self.how = base, how
        self.gate = HeadGate(base.heads)

    def __call__(self, x, mask=None, **options):
        """x (B, T, D) -> (B, T, D); `mask` is that of the halves and is not needed here."""
        q, k, v = projected(self.base, x)  # (B, H, T, K) each
        first, second = np.s_[:, :, :HALF], np.s_[:, :, HALF:]
        before = tl.attention(q[first], k[first], v[first], causal=True)
        local = q[second], k[second], v[second]
        # Every query of the second half has retrieved all n = HALF pairs of the first.
        memory = for_each_query(k[first], q[second]), for_each_query(v[first], q[second])
        if self.how == "none":
            after = tl.attention(*local, causal=True)
        elif self.how == "joint":
            after = joint_attention(*local, *memory)
        elif self.how == "half":
            after = gated_attention(*local, *memory, 0.5)
        else:
            after = gated_attention(*local, *memory, self.gate())  # g Att_local + (1 - g) Att_mem
        return self.base.out(merge_heads(tl.concatenate([before, after], axis=2)))


def for_each_query(stored, queries):
    """(B, H, n, K) -> (B, H, T, n, K): the same stored rows for all T queries."""
    B, H, n, K = stored.shape
    return tl.broadcast_to(stored.reshape(B, H, 1, n, K), (B, H, queries.shape[2], n, K))


class Split(Module):
    """A trained model whose halves do not see each other but for the memory of its last layer."""

    def __init__(self, model, how):
        self.model = model
        self.memory = WithMemory(model.blocks[-1].attention, how)

    def __call__(self, ids, **options):
        T = ids.shape[1]
        half = np.arange(T, like=ids) // HALF
        apart = (half[:, None] == half)[None]  # (1, T, T): a token sees its own half
        block = self.model.blocks[-1]
        whole, block.attention = block.attention, self.memory
        try:
            return self.model(ids, mask=apart)
        finally:
            block.attention = whole


def learn_gates(split, seed):
    """Train the gates alone; every parameter of the model is frozen."""
    before = [p.data.copy() for p in split.model.parameters()]
    for parameter in split.model.parameters():
        parameter.requires_grad = False
    optimizer = AdamW([split.memory.gate.b], weight_decay=0.0)
    rng, objective = tl.Random(seed, "gates"), CausalLM()
    for _ in range(GATE_STEPS):
        train_step(split, objective, optimizer, texts(BATCH, rng), 0, BATCH, GATE_RATE, 1.0)
    for parameter, old in zip(split.model.parameters(), before):
        assert np.array_equal(parameter.data, old), "a weight of the frozen model has moved"


def accuracy(model, device):
    """Share of the values of 512 new texts that have the largest logit."""
    batch = texts(512, tl.Random(12345, "test"))
    with tl.no_grad():
        logits = model(to_device(batch.inputs, device)).numpy()
    counted = batch.targets != IGNORE
    return float((logits.argmax(-1) == batch.targets)[counted].mean())


def main(argv=None):
    """Train, split, learn the gates, print accuracies, gates and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    seeds = 5
    if options.quick:
        seeds = 2
    ways = {"none": [], "joint": [], "half": [], "gates": [], "whole attention": []}
    gates, started = [], time.process_time()
    for seed in range(options.seed, options.seed + seeds):
        model = pretrained(seed, options.device)
        ways["whole attention"].append(accuracy(model, options.device))
        for how in ("none", "joint", "half", "gates"):
            split = Split(model, how)
            if how == "gates":
                learn_gates(split, seed)
                gates.append(split.memory.gate().numpy().reshape(-1))
            ways[how].append(accuracy(split, options.device))
    print(f"values found; chance {CHANCE:.3f}; mean (least .. most) of {seeds} seeds")
    for way, found in ways.items():
        print(f"  memory: {way:<16} {mean_and_range(found)}")
    print("gates learned, one a head (1: local only):")
    for learned in gates:
        print("  " + "  ".join(f"{g:.2f}" for g in np.sort(learned)))
    print(FOUND.line(ways["gates"], ways["none"]))
    print(LEARNED.line(ways["gates"], ways["half"]))
    print(JOINT.line(ways["joint"], ways["gates"]))
    print(f"{time.process_time() - started:.0f} s of one core")


if __name__ == "__main__":
    main()
