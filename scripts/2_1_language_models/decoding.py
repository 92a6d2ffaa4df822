"""What each way of decoding makes of the same model: how probable, how repetitive, and how many
readings it takes.

Book sections 2.1.1 and 2.1.3 (eqs. 2.3, 2.15). Claims: (1) searching for the most probable text
finds it and is dull: beams reach higher log-probability than sampling and repeat themselves more
than people do (Holtzman et al. 2020). (2) Speculative decoding needs fewer readings of the large
model than tokens, and its drafts are accepted as often as the two models overlap. (3) Text
constrained to a regular expression always matches it. A character-level GPT (2 layers, width 96,
context 128) and a draft model (1 layer, width 32) learn Python's documentation for 400 steps; each
method continues 8 held-out prompts of 28 characters by 100. Repetition is the share of 4-character
pieces that already came in the same continuation. About 3 minutes on two cores for three seeds;
--quick (two seeds, 60 steps) is too short for the claims. `python
scripts/2_1_language_models/decoding.py [--seed N] [--device cpu] [--quick] [--plot FILE]`. Read
next: scripts/2_3_long_sequences/compression.py.

Measured output:

    method                      log-probability a token     repetition, mean (least .. most) over
      seeds
    people (held out)           -2.24 (-2.35 .. -2.10)      0.18 (0.15 .. 0.23)
    greedy                      -0.75 (-0.98 .. -0.59)      0.96 (0.95 .. 0.97)
    beam 4                      -0.76 (-0.96 .. -0.58)      0.97 (0.96 .. 0.97)
    beam 16                     -0.64 (-0.71 .. -0.53)      0.96 (0.95 .. 0.96)
    diverse beams, last of 3    -1.08 (-1.13 .. -1.02)      0.86 (0.80 .. 0.91)
    stochastic beam 4, first    -2.55 (-2.62 .. -2.46)      0.03 (0.02 .. 0.05)
    contrastive search          -0.79 (-0.90 .. -0.63)      0.83 (0.80 .. 0.86)
    contrastive decoding        -1.80 (-1.89 .. -1.69)      0.70 (0.64 .. 0.75)
    sampling                    -2.47 (-2.60 .. -2.25)      0.06 (0.02 .. 0.12)
    temperature 0.7             -1.56 (-1.74 .. -1.42)      0.32 (0.23 .. 0.37)
    top-k 10                    -1.91 (-2.02 .. -1.82)      0.15 (0.07 .. 0.20)
    top-p 0.9                   -2.05 (-2.19 .. -1.93)      0.11 (0.03 .. 0.17)
    min-p 0.1                   -1.40 (-1.66 .. -1.26)      0.41 (0.27 .. 0.49)
    typical 0.9                 -2.05 (-2.20 .. -1.93)      0.11 (0.03 .. 0.17)
    epsilon 0.02                -1.56 (-1.60 .. -1.51)      0.34 (0.31 .. 0.35)
    eta 0.02                    -1.82 (-2.11 .. -1.50)      0.24 (0.11 .. 0.39)
    speculative decoding        accepted                    tokens a reading of the large model
    lookahead 1                 0.81 (0.78 .. 0.83)         1.80 (1.77 .. 1.82)
    lookahead 2                 0.82 (0.81 .. 0.84)         2.46 (2.41 .. 2.52)
    lookahead 4                 0.83 (0.82 .. 0.85)         3.52 (3.45 .. 3.60)
    lookahead 8                 0.80 (0.78 .. 0.82)         4.29 (3.94 .. 4.55)
    beams of 16 are more probable than samples (section 2.1.3): +1.83 [+1.61, +2.04], 3 seeds: shows
    beams of 16 repeat themselves more than people do (section 2.1.3): +0.773 [+0.678, +0.869], 3
      seeds: shows
    speculation makes more than one token a reading, at every lookahead: +0.802 [+0.739, +0.865], 3
      seeds: shows
    constrained texts match, or are beginnings cut off by the length: 22 of 24 ended and match: shows
    one of them: ['Fbla iolope ith onculd objeces.']

A wider beam need not be better: of width 4 it found less than greedy search did, of width 16 more.
"""

import argparse
import re

import numpy as np

from tinylm.autograd.engine.tensor import first_order_only
from tinylm.autograd.kernels.losses import cross_entropy
from tinylm.backend import Random
from tinylm.data import RandomWindows, python_documentation, split_text, without_repeats
from tinylm.generate import (
    Regular,
    TokenAutomaton,
    beam_search,
    constrained_generate,
    contrastive_decode,
    contrastive_search,
    diverse_beam_search,
    generate,
    sequence_logprob,
    speculative_generate,
    stochastic_beam_search,
)
from tinylm.machine import keep_freed_memory
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW, FlatParameters, clip_grad_norm
from tinylm.optim.schedule import cosine
from tinylm.tokenizers import CharTokenizer
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range, weakest
from tinylm.train.experiments.picture import Picture, add_plot

CONTEXT = 128
BATCH = 8
LR = 2e-3
WARMUP = 30
PROMPT = 28
LENGTH = 100
PROMPTS = 8
PATTERN = r"[A-Z][a-z]+( [a-z]+){2,4}\."
# Paired by seed: one model and the same prompts. (1) needs both comparisons, (2) every lookahead.
PROBABLE = Claim("beams of 16 are more probable than samples", "2.1.3")
DULL = Claim("beams of 16 repeat themselves more than people do", "2.1.3")
READINGS = Claim("speculation makes more than one token a reading", "2.1.3")
MATCHES = "constrained texts match, or are beginnings cut off by the length"


def train(V, tokens, layers, width, steps, seed):
    """A GPT over characters, trained on random windows from one seed."""
    model = GPT(GPTConfig(V, CONTEXT, n_layer=layers, n_head=4, d_model=width), seed)
    parameters = FlatParameters(model.named_parameters())
    optimizer = AdamW(parameters, betas=(0.9, 0.99), weight_decay=0.1)
    windows = RandomWindows(tokens, CONTEXT, BATCH, seed)
    for step in range(steps):
        parameters.zero_grad()
        batch = windows.batch(step)
        with first_order_only():
            # (B, T + 1): inputs are all but the last token, targets all but the first
            loss = cross_entropy(model(batch[:, :-1]), batch[:, 1:])
        loss.backward()
        clip_grad_norm(parameters, 1.0)
        optimizer.step(LR * cosine(step, steps, WARMUP))
    return model


def methods(model, draft):
    """Name -> function (prompt, seed) -> continuation."""

    # each method gets the prompt and a seed; deterministic searches ignore it
    def sampling(**options):
        return lambda prompt, seed: list(generate(model, prompt, LENGTH, seed=seed, **options))

    def beam(width):
        return lambda prompt, seed: beam_search(model, prompt, LENGTH, width)[0].tokens

    return {
        "greedy": sampling(temperature=0),
        "beam 4": beam(4),
        "beam 16": beam(16),
        "diverse beams, last of 3": lambda prompt, seed: (
            diverse_beam_search(model, prompt, LENGTH, 3, 2, 1.0)[-1][0].tokens
        ),
        "stochastic beam 4, first": lambda prompt, seed: (
            stochastic_beam_search(model, prompt, LENGTH, 4, Random(seed))[0].tokens
        ),
        "contrastive search": lambda prompt, seed: contrastive_search(
            model, prompt, LENGTH, 4, 0.6
        ),
        "contrastive decoding": lambda prompt, seed: contrastive_decode(
            model, draft, prompt, LENGTH
        ),
        "sampling": sampling(),
        "temperature 0.7": sampling(temperature=0.7),
        "top-k 10": sampling(top_k=10),
        "top-p 0.9": sampling(top_p=0.9),
        "min-p 0.1": sampling(min_p=0.1),
        "typical 0.9": sampling(typical_p=0.9),
        "epsilon 0.02": sampling(epsilon=0.02),
        "eta 0.02": sampling(eta=0.02),
    }


def repetition(tokens):
    """Share of the pieces of 4 that came before in the same text."""
    # n pieces, u of them different: n - u are repeats
    pieces = [tuple(tokens[i : i + 4]) for i in range(len(tokens) - 3)]
    return 1 - len(set(pieces)) / len(pieces)


def measure(model, prompts, continuations):
    """(mean log-probability a token, mean repetition)."""
    # log Pr of the continuation alone: entry i is that of token i + 1
    # (prompt + continuation - 1,) log-probabilities, of which the continuation's are kept
    scores = [
        sequence_logprob(model, [*prompt, *y], reduction="none")[len(prompt) - 1 :].mean()
        for prompt, y in zip(prompts, continuations)
    ]
    return np.mean(scores), np.mean([repetition(y) for y in continuations])


class WithEnd:
    """A character tokenizer whose line break serves as the end token."""

    def __init__(self, tokenizer):
        self.vocab_size = tokenizer.vocab_size
        self.token_bytes = tokenizer.token_bytes


def run(seed, steps, table, speculation, matched):
    """Train both models from one seed and add the measurements to the tables."""
    training, held_out = split_text(without_repeats(python_documentation()))
    tokenizer = CharTokenizer.from_text(training + held_out)
    ids = tokenizer.encode(training)
    held = tokenizer.encode(held_out)
    # the draft has a third of the width and half of the layers, and reads as many batches
    model, draft = (
        train(tokenizer.vocab_size, ids, layers, width, steps, seed)
        for layers, width in ((2, 96), (1, 32))
    )
    # Stretches of CONTEXT that do not overlap: PROMPT characters are shown, people wrote the rest.
    places = Random(seed, "prompts").permutation(len(held) // CONTEXT)[:PROMPTS] * CONTEXT
    prompts = [held[p : p + PROMPT].tolist() for p in places]
    people = [held[p + PROMPT : p + CONTEXT].tolist() for p in places]
    # what stands after the prompts in the text, scored by the same model
    table.setdefault("people (held out)", []).append(measure(model, prompts, people))
    for name, method in methods(model, draft).items():
        found = [list(method(prompt, 1000 * seed + i)) for i, prompt in enumerate(prompts)]
        table.setdefault(name, []).append(measure(model, prompts, found))
    for lookahead in (1, 2, 4, 8):
        made = [
            speculative_generate(model, draft, prompt, LENGTH, lookahead, seed=i)
            for i, prompt in enumerate(prompts)
        ]
        accepted = sum(m.accepted for m in made) / sum(m.drafted for m in made)
        tokens_a_reading = LENGTH * len(made) / sum(m.readings for m in made)
        speculation.setdefault(lookahead, []).append((accepted, tokens_a_reading))
    # a line break ends a text that the pattern accepts
    end = int(tokenizer.encode("\n")[0])
    automaton = TokenAutomaton(Regular(PATTERN), WithEnd(tokenizer), end)
    for i, prompt in enumerate(prompts):
        # whole: the automaton accepted and the text ended before LENGTH
        tokens, whole = constrained_generate(model, prompt, automaton, LENGTH, seed=i)
        text = tokenizer.decode(tokens)
        matched.append((bool(re.fullmatch(PATTERN, text)), whole, text))


def verdicts(table, speculation, matched):
    """Print the verdicts. The tables hold a row for each seed."""
    score, repeated = {}, {}
    for name, rows in table.items():
        score[name], repeated[name] = np.array(rows).T
    print(PROBABLE.line(score["beam 16"], score["sampling"]))
    print(DULL.line(repeated["beam 16"], repeated["people (held out)"]))
    gains = [READINGS.judge([gain for _, gain in rows], 1.0) for rows in speculation.values()]
    print(f"{READINGS.text}, at every lookahead: {weakest(gains)}")
    # Exact, no matter of chance: one text that ended and does not match would refute it.
    finished = [text for ok, whole, text in matched if ok and whole]
    word = "shows" if all(ok == whole for ok, whole, _ in matched) else "shows the opposite"
    print(f"{MATCHES}: {len(finished)} of {len(matched)} ended and match: {word}")
    print(f"one of them: {finished[:1]}")


def plot(path, table, speculation):
    """Save probability against repetition, and speculation's gain, as a picture."""
    with Picture(path, columns=2, size=(5.6, 4)) as picture:
        x, y = "log-probability a token (nats)", "share of repeated pieces of 4"
        panel = picture.panel("what each method writes", x, y)
        for name, rows in table.items():
            score, repeated = np.array(rows).T
            panel.points(name, [score.mean()], repeated[:, None])
        ahead, y = list(speculation), "tokens a reading of the large model"
        panel = picture.panel("speculative decoding", "tokens drafted ahead", y, xticks=ahead)
        gains = [[gain for _, gain in rows] for rows in speculation.values()]
        panel.curve("speculative decoding", ahead, np.transpose(gains))


def main(argv=None):
    """Measure every seed, print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--quick", action="store_true")
    add_plot(parser)
    options = parser.parse_args(argv)
    keep_freed_memory()
    # seeds of weights, batches and prompts
    seeds, steps = 3, 400
    if options.quick:
        seeds, steps = 2, 60
        print(ONLY_RUNS)
    table = {}
    speculation = {}
    matched = []
    for seed in range(options.seed, options.seed + seeds):
        run(seed, steps, table, speculation, matched)
    print(f"{'method':<28}log-probability a token     repetition, mean (least .. most) over seeds")
    for name, rows in table.items():
        score, repeated = (mean_and_range(column, ".2f") for column in np.array(rows).T)
        print(f"{name:<28}{score:<28}{repeated}")
    print(f"{'speculative decoding':<28}{'accepted':<28}tokens a reading of the large model")
    for lookahead, rows in speculation.items():
        rate, gain = (mean_and_range(column, ".2f") for column in np.array(rows).T)
        print(f"lookahead {lookahead:<18}{rate:<28}{gain}")
    verdicts(table, speculation, matched)
    if options.plot:
        plot(options.plot, table, speculation)


if __name__ == "__main__":
    main()
