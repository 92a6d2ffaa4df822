"""Caches side by side: what each costs in memory, and how it changes the predictions.

Book section 2.3.1. Claims: pages change nothing, 8 bits change the log-probabilities little for a
quarter of float32's memory and a scale for each vector; sharing between layers that were not
trained for it changes them much. A character-level GPT with RoPE (3 layers, width 96, 64
characters) learns Python's documentation for 400 steps. At most 2 minutes on two cores for three
seeds; --quick: two seeds, 60 steps. `python scripts/2_3_long_sequences/caches.py [--seed N]
[--device cpu] [--quick] [--plot FILE]`. Read next: attention_sinks.py, windows on a text without
end.

Measured output (one core):

    64 tokens, 3 layers, 4 heads of 24, float32: mean over 8 texts (least .. most over seeds)
    cache                    bytes            nats a token  largest change of a log-probability
    full                    147456  1.790 (1.777 .. 1.812)  0.00000 (0.00000 .. 0.00000)
    pages of 16             147456  1.790 (1.777 .. 1.812)  0.00000 (0.00000 .. 0.00000)
    16 bit                   79872  1.790 (1.777 .. 1.812)  0.00016 (0.00015 .. 0.00017)
    8 bit                    43008  1.790 (1.777 .. 1.812)  0.04075 (0.03723 .. 0.04435)
    shared by all layers     49152  2.345 (2.170 .. 2.574)  5.20242 (4.45654 .. 5.80167)
    pages change nothing: shows
    8 bits cost at most 0.01 (section 2.3.1): -4.62e-05 [-0.00103, +0.000935], 3 seeds: shows
    sharing between layers not trained for it costs at least 0.1 (section 2.3.1): +0.556 [+0.0312,
      +1.08], 3 seeds: too small to tell; 0.62 could have been seen
"""

import argparse

import numpy as np

from tinylm.autograd.engine.tensor import first_order_only
from tinylm.autograd.kernels.losses import cross_entropy
from tinylm.data import RandomWindows, python_documentation, split_text, without_repeats
from tinylm.generate import (
    KeyValueCache,
    ModelLM,
    PagedCache,
    PagePool,
    QuantizedCache,
    SharedCache,
)
from tinylm.generate.cache.shared import share_every
from tinylm.generate.protocol.score import token_logprobs
from tinylm.machine import keep_freed_memory
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW, FlatParameters, clip_grad_norm
from tinylm.optim.schedule import cosine
from tinylm.tokenizers import CharTokenizer
from tinylm.train.experiments.compare import ONLY_RUNS, OPPOSITE, SHOWS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

T = 64
BATCH = 16
LR = 2e-3
WARMUP = 30
LAYERS = 3
HEADS = 4
WIDTH = 96
# Losses in nats a token, paired by seed: one model and the same texts.
LITTLE = Claim("8 bits cost at most 0.01", "2.3.1", larger=False, least=-0.01)
MUCH = Claim("sharing between layers not trained for it costs at least 0.1", "2.3.1", least=0.1)
# Exact: the same floating-point numbers, so one difference refutes it.
PAGES = "pages change nothing"


def train(V, tokens, steps, seed):
    """A GPT with RoPE over characters, trained on random windows from one seed."""
    model = GPT(
        GPTConfig(V, T, n_layer=LAYERS, n_head=HEADS, d_model=WIDTH, positions="rope"), seed
    )
    parameters = FlatParameters(model.named_parameters())
    optimizer = AdamW(parameters, betas=(0.9, 0.99), weight_decay=0.1)
    # (B, T + 1) ids a step
    windows = RandomWindows(tokens, T, BATCH, seed)
    for step in range(steps):
        parameters.zero_grad()
        batch = windows.batch(step)
        with first_order_only():
            loss = cross_entropy(model(batch[:, :-1]), batch[:, 1:])
        loss.backward()
        clip_grad_norm(parameters, 1.0)
        optimizer.step(LR * cosine(step, steps, WARMUP))
    return model


def within_the_context(model, ids):
    """One text of T tokens, read token by token.

    returns  name -> (bytes, loss in nats, largest change of a log-probability)
    """
    lm, K = ModelLM(model), WIDTH // HEADS
    # blocks of 16 tokens, more than one text needs; bytes counts those in use
    pool = PagePool(T, 16, LAYERS, HEADS, K)
    caches = {
        "full": KeyValueCache(LAYERS, 1, HEADS, K),
        "pages of 16": PagedCache(pool, 1),
        "16 bit": QuantizedCache(LAYERS, 1, HEADS, K, bits=16),
        "8 bit": QuantizedCache(LAYERS, 1, HEADS, K, bits=8),
        "shared by all layers": SharedCache(share_every(LAYERS, LAYERS), 1, HEADS, K),
    }
    results, plain = {}, None
    for name, cache in caches.items():
        # one token at a time, so that every cache is used as in generation
        logits = np.concatenate([lm.logits(ids[None, t : t + 1], cache)[0] for t in range(T)])
        logprobs = token_logprobs(logits, ids[1:])
        if plain is None:
            plain = logprobs
        if name.startswith("pages"):
            nbytes = pool.bytes  # the pages belong to the pool
        else:
            nbytes = cache.bytes
        results[name] = nbytes, -logprobs.mean(), np.abs(logprobs - plain).max()
    return results


def plot(path, nbytes, loss, changes):
    """Save bytes against loss, and what the loss hides, as a picture."""
    with Picture(path, columns=2) as picture:
        panel = picture.panel(f"what {T} tokens cost", "KiB of the cache", "nats a token")
        for name, values in loss.items():
            panel.points(name, [nbytes[name] / 1024], np.reshape(values, (-1, 1)))
        title = "largest change of a log-probability"
        picture.panel(title, "nats").bars({name: v for name, v in changes.items() if v.any()})


def main(argv=None):
    """Train from every seed, print both tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--quick", action="store_true")
    add_plot(parser)
    options = parser.parse_args(argv)
    keep_freed_memory()
    training, held_out = split_text(without_repeats(python_documentation()))
    tokenizer = CharTokenizer.from_text(training + held_out)
    ids = tokenizer.encode(training)
    held = tokenizer.encode(held_out)
    near = []
    seeds = 3
    steps = 400
    if options.quick:
        seeds, steps = 2, 60
        print(ONLY_RUNS)
    for seed in range(options.seed, options.seed + seeds):
        model = train(tokenizer.vocab_size, ids, steps, seed)
        # 8 texts of T tokens that do not overlap
        near.append([within_the_context(model, held[i * 500 : i * 500 + T + 1]) for i in range(8)])
    print(
        f"{T} tokens, {LAYERS} layers, {HEADS} heads of {WIDTH // HEADS}, float32: "
        "mean over 8 texts (least .. most over seeds)"
    )
    print(f"{'cache':<22}{'bytes':>8}{'nats a token':>24}  largest change of a log-probability")
    nbytes, loss, changes = {}, {}, {}
    for name in near[0][0]:
        # (seeds, texts, 3) -> (seeds,) each
        parts = np.array([[text[name] for text in texts] for texts in near])
        loss[name], changes[name] = parts[:, :, 1].mean(1), parts[:, :, 2].max(1)
        nbytes[name] = parts[0, 0, 0]
        cells = f"{mean_and_range(loss[name]):>24}  {mean_and_range(changes[name], '.5f')}"
        print(f"{name:<22}{parts[0, 0, 0]:>8.0f}{cells}")
    verdicts(loss, changes)
    if options.plot:
        plot(options.plot, nbytes, loss, changes)


def verdicts(loss, changes):
    """Print the verdicts. loss, changes of log-probabilities: name -> (seeds,)."""
    print(f"{PAGES}: {OPPOSITE if changes['pages of 16'].any() else SHOWS}")
    print(LITTLE.line(loss["8 bit"], loss["full"]))
    print(MUCH.line(loss["shared by all layers"], loss["full"]))


if __name__ == "__main__":
    main()
