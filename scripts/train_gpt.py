"""The main job as one page: a GPT that learns English by predicting the next character, with no
trainer in between.

Book section 2.1.2, eqs. 2.13 and 2.14: maximizing the likelihood of text is minimizing the
cross-entropy of every next token. Claim: after 300 steps the model predicts text it has not seen
better than the best table of character pairs does, so it has learnt more than which letter follows
which. 4 layers, 4 heads, width 128, context 64, batch 12. About 50 seconds on two cores: three
seeds, for the spread. `python scripts/train_gpt.py [--seed N] [--device cpu|gpu] [--quick]`;
--quick is one seed and 60 steps, too few for the claim. Read next: tinylm/train/step.py.

Measured output (training loss is the mean of each third of the steps; two busy cores, Python 3.11's
text):

    380,290 characters of 103 kinds; log V = 4.635, best table of pairs 2.397 nats
    seed 0: training loss 2.926, 2.508, 2.389; validation 2.213
    seed 1: training loss 2.937, 2.528, 2.393; validation 2.222
    seed 2: training loss 2.936, 2.511, 2.355; validation 2.188
    validation 2.207, from 2.188 to 2.222; 79 s
    the claim shows
"""

import argparse
import math
import time

import numpy as np

from tinylm.autograd.engine.tensor import first_order_only, no_grad
from tinylm.autograd.kernels.losses import cross_entropy
from tinylm.backend import Random, to_device
from tinylm.data import (
    EvenWindows,
    RandomWindows,
    python_documentation,
    split_text,
    without_repeats,
)
from tinylm.machine import keep_freed_memory
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW, FlatParameters, clip_grad_norm
from tinylm.optim.schedule import cosine
from tinylm.tokenizers import CharTokenizer

BATCH, CONTEXT, LR, WARMUP = 12, 64, 2e-3, 30


def loss_of(model, windows, device):
    """Mean nats per token over windows (B, T + 1): inputs are all but the last token, targets all
    but the first.
    """
    windows = to_device(windows, device)
    return cross_entropy(model(windows[:, :-1]), windows[:, 1:])  # logits (B, T, V), targets (B, T)


def validate(model, tokens, device):
    """Mean nats per token of a text, every token predicted once."""
    windows = EvenWindows(tokens, CONTEXT)
    with no_grad():
        return (
            sum(loss_of(model, w, device).item() * w[:, 1:].size for w in windows.batches(64))
            / windows.targets
        )


def train(vocab_size, training, steps, seed, device):
    """Returns the model, and its mean training loss over each third of the steps."""
    model = GPT(GPTConfig(vocab_size, CONTEXT, n_layer=4, n_head=4, d_model=128), seed).to(device)
    parameters = FlatParameters(model.named_parameters())
    optimizer = AdamW(parameters, betas=(0.9, 0.99), weight_decay=0.1)
    windows, losses = RandomWindows(training, CONTEXT, BATCH, seed), []
    for step in range(steps):
        parameters.zero_grad()
        with first_order_only():  # spares what only second derivatives would need
            loss = loss_of(model, windows.batch(step), device)
        loss.backward()
        clip_grad_norm(parameters, 1.0)
        optimizer.step(LR * cosine(step, steps, WARMUP))
        losses.append(loss.item())
    return model, np.reshape(losses, (3, -1)).mean(1)


def sample(model, ids, length, rng, device):
    """Continue `ids` by drawing every next token from the model's distribution, at temperature 0.8."""
    with no_grad():
        for _ in range(length):
            logits = (
                model(to_device(np.array([ids[-CONTEXT:]]), device)).numpy()[0, -1] / 0.8
            )  # (V,)
            p = np.cumsum(np.exp(logits - logits.max()))  # up to the sum, not to 1
            ids = [*ids, int(np.searchsorted(p, rng.uniform((), np.float64) * p[-1], side="right"))]
    return ids


def bigram_loss(training, validation, V):
    """The best table of pairs, by counts with one added to each: its mean loss on the validation
    text.
    """
    counts = np.ones((V, V))
    np.add.at(counts, (training[:-1], training[1:]), 1)
    return -np.mean(np.log(counts / counts.sum(1, keepdims=True))[validation[:-1], validation[1:]])


def main(seed, device, quick):
    keep_freed_memory()
    text = without_repeats(python_documentation())
    tokenizer = CharTokenizer.from_text(text)
    training, validation = map(tokenizer.encode, split_text(text))
    V, steps, ends, started = tokenizer.vocab_size, 60 if quick else 300, [], time.perf_counter()
    pairs = bigram_loss(training, validation, V)
    print(
        f"{len(text):,} characters of {V} kinds; log V = {math.log(V):.3f}, best table of pairs {pairs:.3f} nats"
    )
    for s in range(seed, seed + (1 if quick else 3)):
        model, thirds = train(V, training, steps, s, device)
        ends.append(validate(model, validation, device))
        print(
            f"seed {s}: training loss {thirds[0]:.3f}, {thirds[1]:.3f}, {thirds[2]:.3f}; validation {ends[-1]:.3f}"
        )
    seconds = time.perf_counter() - started
    print(
        f"validation {np.mean(ends):.3f}, from {min(ends):.3f} to {max(ends):.3f}; {seconds:.0f} s"
    )
    print(
        "the claim shows"
        if max(ends) < pairs
        else "the claim did NOT show: the table of pairs is better"
    )
    ids = sample(model, tokenizer.encode("The ").tolist(), 150, Random(seed, "sample"), device)
    print(f"a sample: {tokenizer.decode(ids)!r}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    main(**vars(parser.parse_args()))
