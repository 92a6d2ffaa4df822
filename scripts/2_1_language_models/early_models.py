"""Four generations of language models on the same text: counts, a feed-forward network, an LSTM, a
transformer.

Book section 2.1 has the history from n-grams over Bengio's network to recurrent networks and
transformers. Shown: bits per character on held-out text after equal reading, three networks of
about the same number of parameters trained on the same batches for the same number of steps. The
order of the models at this size and time is no order of the models themselves: a table of counts is
hard to beat here. About 80 seconds. `python scripts/2_1_language_models/early_models.py [--seed N]
[--device cpu|gpu] [--quick]`; --quick is 2 seeds and a third of the steps. Networks are tried from
3 seeds (weights and order of the batches); counting has no seed.

Measured output:

    342261 characters of 93 kinds to learn from, 38029 held out; networks read 307200 of them in 300
    batches
                             numbers  bits/char   lowest  highest  seconds
    5-gram, all text          109000      1.878                        0.1
    5-gram, as much read      103342      1.949                        0.1
    NPLM, 8 characters         77405      2.867    2.854    2.882      6.6
    LSTM                       83424      2.441    2.430    2.453      8.8
    transformer                80752      2.821    2.806    2.835     11.4
    LSTM costs fewer bits per character than NPLM, 8 characters: +0.426 [+0.419, +0.432], 3 seeds:
      shows
    transformer costs fewer bits per character than LSTM: -0.38 [-0.415, -0.345], 3 seeds: shows the
      opposite
    NPLM, 8 characters costs fewer bits per character than counting all text: -0.989 [-1.02,
      -0.954], 3 seeds: shows the opposite
    LSTM costs fewer bits per character than counting all text: -0.564 [-0.593, -0.535], 3 seeds:
      shows the opposite
    transformer costs fewer bits per character than counting all text: -0.943 [-0.98, -0.906], 3
      seeds: shows the opposite
"""

import argparse
import time

import numpy as np

import tinylm as tl
from tinylm.backend import to_cpu, to_device
from tinylm.data import frequent_characters, python_documentation, split_text, without_repeats
from tinylm.models import GPT, GPTConfig
from tinylm.models.early.ngram import NGramLM
from tinylm.models.early.nplm import FeedForwardNGramLM
from tinylm.models.early.recurrent import RecurrentConfig, RecurrentLM
from tinylm.optim import AdamW, clip_grad_norm
from tinylm.optim.schedule import cosine
from tinylm.pretrain import CausalLM
from tinylm.train.experiments.compare import ONLY_RUNS, Claim

BATCH, T = 16, 64
# Bits per character. Networks of one seed read the same batches, so they are paired; counting has
# no seed and is a known number.
BETTER = Claim("costs fewer bits per character", "2.1", larger=False)
COUNTING = "5-gram, all text"
NETWORKS = {
    # sizes at which all have about 80,000 parameters, and learning rates
    "NPLM, 8 characters": (lambda V, seed: FeedForwardNGramLM(9, V, 24, 200, seed=seed), 3e-3),
    "LSTM": (lambda V, seed: RecurrentLM(RecurrentConfig(V, 96, 1, "lstm"), seed), 5e-3),
    "transformer": (
        lambda V, seed: GPT(
            GPTConfig(V, T, 2, 4, 56, norm="rms", positions="rope", bias=False), seed
        ),
        5e-3,
    ),
}


def characters():
    """(training ids, held-out ids, V) of Python's documentation."""
    ids, kept = frequent_characters(without_repeats(python_documentation()))
    train, test = split_text(ids, 0.1)
    return train, test, len(kept) + 1


def bits_of_network(model, test, device):
    """Bits per character of the held-out text, in windows of T characters after their first."""
    n = (len(test) - 1) // T
    # (n, T) each: y is x one character later
    x = test[: n * T].reshape(n, T)
    y = test[1 : n * T + 1].reshape(n, T)
    total = 0.0
    with tl.no_grad():
        for i in range(0, n, 64):
            logits = model(to_device(x[i : i + 64], device))
            target = to_device(y[i : i + 64], device)
            total += tl.cross_entropy(logits, target, reduction="sum").item()
    return total / (n * T) / np.log(2)  # nats to bits


def train(make, lr, text, V, steps, seed, device):
    """A network trained on `steps` random batches, from one seed."""
    model = make(V, seed).to(device)
    rng = tl.Random(seed, "batches")
    objective = CausalLM()
    optimizer = AdamW(model.named_parameters(), lr=lr, weight_decay=0.01)
    for step in range(steps):
        # (B,) and then (B, T + 1): windows anywhere in the text
        starts = rng.integers(0, len(text) - T, (BATCH,))
        batch = objective.make_batch(text[starts[:, None] + np.arange(T + 1)])
        optimizer.zero_grad()
        with tl.first_order_only():
            loss = tl.cross_entropy(
                model(to_device(batch.inputs, device)), to_device(batch.targets, device)
            )
            loss.backward()
        clip_grad_norm(optimizer.flat, 1.0)
        optimizer.step(lr * cosine(step, steps, warmup=20))
    return model


def main(argv=None):
    """Print the table and the verdicts on the steps of the book."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    seeds, steps = 3, 300
    if options.quick:
        seeds, steps = 2, 100
        print(ONLY_RUNS)
    text, test, V = characters()
    read = steps * BATCH * T
    print(
        f"{len(text)} characters of {V} kinds to learn from, {len(test)} held out; "
        f"networks read {read} of them in {steps} batches"
    )
    print(f"{'':<22}{'numbers':>10}{'bits/char':>11}{'lowest':>9}{'highest':>9}{'seconds':>9}")
    counted = {}
    for name, kept in ((COUNTING, text), ("5-gram, as much read", text[:read])):
        began = time.perf_counter()
        # Kneser-Ney, the best smoothing in shannon_entropy.py
        lm = NGramLM(5, V, "kneser_ney").fit(kept)
        counted[name] = -lm.logprob(test).mean() / np.log(2)
        seconds = time.perf_counter() - began
        print(f"{name:<22}{lm.count_parameters():>10}{counted[name]:>11.3f}{'':>18}{seconds:>9.1f}")
    bits = {}
    for name, (make, lr) in NETWORKS.items():
        began, bits[name] = time.perf_counter(), []
        for seed in range(options.seed, options.seed + seeds):
            model = train(make, lr, text, V, steps, seed, options.device)
            found = bits_of_network(model, test, options.device)
            bits[name].append(float(to_cpu(np.asarray(found))))
        seconds = (time.perf_counter() - began) / seeds
        print(
            f"{name:<22}{model.count_parameters():>10}{np.mean(bits[name]):>11.3f}"
            f"{min(bits[name]):>9.3f}{max(bits[name]):>9.3f}{seconds:>9.1f}"
        )
    for newer, older in (("LSTM", "NPLM, 8 characters"), ("transformer", "LSTM")):
        print(f"{newer} {BETTER.text} than {older}: {BETTER.judge(bits[newer], bits[older])}")
    # Every network against counting: to choose the best one after the run would favor networks.
    for name in NETWORKS:
        verdict = BETTER.judge(bits[name], counted[COUNTING])
        print(f"{name} {BETTER.text} than counting all text: {verdict}")


if __name__ == "__main__":
    main()
