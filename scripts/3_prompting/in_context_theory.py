"""Is learning in context Bayesian inference? A language model beside the best prediction there is.

Book section 3.1.2; Xie et al. 2022. Texts come from a mixture of eight hidden Markov models, and
nothing names the one a text is of, its concept. A small GPT learns to predict the next token of
such texts, no more. The best prediction is known exactly: the forward algorithm gives the posterior
over concepts, and p(x_t | x_<t) = sum over theta of p(theta | x_<t) p(x_t | x_<t, theta). Distances
are KL divergences in nats. Claims: (1) the more of a text the model has read, the nearer it is to
the right concept, which it was never given; (2) and to the best prediction; (3) it is nearer to
that than the best single concept is, and than the mean over concepts without inference; (4) in
prompts of examples, texts of a kind that it never saw, shots do the same, and make answers right
more often; (5) trained on one concept it has nothing to infer: no shot changes its distance, and
none helps. Five seeds, each with its own mixture, texts and models. About 6 minutes on one core.
`python scripts/3_prompting/in_context_theory.py [--seed N] [--device cpu|gpu] [--plot FILE]
[--quick]`; --plot saves the curves as a picture (matplotlib), --quick is two seeds of 40 steps.
Read next: tinylm/prompt/in_context/implicit_bayes.py.

Measured output (one core):

    KL in nats by tenths of a text, means over seeds
        model, from the best prediction  0.033 0.096 0.095 0.080 0.069 0.060 0.053 0.047 0.045 0.042
        best single concept, from it     0.391 0.659 0.728 0.735 0.744 0.744 0.742 0.741 0.740 0.748
        no inference, from it            0.111 0.326 0.388 0.400 0.409 0.408 0.409 0.407 0.408 0.410
        model, from the right concept    0.265 0.180 0.117 0.087 0.071 0.061 0.053 0.047 0.045 0.042
        best prediction, from it         0.232 0.083 0.022 0.007 0.001 0.001 0.000 0.000 0.000 0.000
        one concept: from the best       0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000
    by examples of a prompt, means over seeds
        model, from the best prediction  0.033 0.113 0.136 0.137 0.129 0.118 0.115 0.107 0.102 0.098
        model, from the right concept    0.265 0.264 0.207 0.174 0.150 0.132 0.122 0.111 0.104 0.099
        posterior of the right concept   0.125 0.548 0.755 0.863 0.911 0.947 0.965 0.979 0.987 0.992
        right answers, best prediction   0.389 0.441 0.448 0.443 0.476 0.492 0.476 0.478 0.478 0.462
        right answers, model             0.371 0.403 0.416 0.406 0.430 0.461 0.446 0.443 0.446 0.428
        one concept: from the best       0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000
        one concept: right answers       0.503 0.512 0.504 0.507 0.511 0.503 0.503 0.530 0.499 0.493
    whole texts, model from the best prediction: 0.062 (0.030 .. 0.100)
    5 seeds; 364 s of one core
    texts: nearer to the right concept, last tenth < first (section 3.1.2): +0.223 [+0.167, +0.279],
      5 seeds: shows
    texts: nearer to the best prediction, last tenth < second (section 3.1.2): +0.0544 [+0.0342,
      +0.0746], 5 seeds: shows
    texts: nearer to it than the best single concept (section 3.1.2): +0.635 [+0.502, +0.769], 5
      seeds: shows
    texts: and than all concepts without inference (section 3.1.2): +0.305 [+0.207, +0.404], 5
      seeds: shows
    prompts: nearer to the right concept, last example < second (section 3.1.2): +0.165 [+0.127,
      +0.202], 5 seeds: shows
    prompts: nearer to the best prediction, last example < second (section 3.1.2): +0.015 [-0.0162,
      +0.0462], 5 seeds: too small to tell; 0.031 could have been seen
    prompts: answers of the last third of examples are right more often than the first (section
      3.1.2): +0.0677 [+0.0246, +0.111], 5 seeds: shows
    one concept: second and last example as near to the exact prediction, within 0.02 (section
      3.1.2): -4.61e-05 [-0.000155, +6.24e-05], 5 seeds: shows
    one concept: shots help less than with eight (section 3.1.2): +0.0635 [+0.0179, +0.109], 5
      seeds: shows

Nothing named the concepts, yet the model is a sixth as far from the best prediction as a mean over
concepts without inference is, and less than a tenth as far as the best single concept: it infers.
Its distance from the right concept falls all along a text and with every shot, and from the second
tenth of a text on so does its distance from the best prediction: before much was read there is
little to infer and little to be wrong about, so that rises first. In prompts, where examples follow
each other as texts never do, the distance from the best prediction rises until the fourth example
and then falls; that the last is nearer than the second is too small to tell. Shots add 0.07 of
right answers here, for the best prediction too. With one concept nothing is left to infer, and no
shot matters. A first run of 800 steps had models at 0.19 nats from the best prediction instead of
0.06: there the distance in prompts rose to the end.
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from tinylm import backend
from tinylm.data.synthetic.hmm_mixture import ginc
from tinylm.finetune import fit
from tinylm.models import GPT, GPTConfig
from tinylm.pretrain import CausalLM
from tinylm.prompt.in_context.implicit_bayes import (
    by_concept,
    compare,
    divergence,
    model_predictions,
)
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

# One entity, so states are properties; two of eight may have the same token, which hides them.
# Three transitions of ten are to any state: so a concept shows itself slowly, and the jump from an
# example to the next is no surprise.
CONCEPTS, PROPERTIES, TOKENS, FLOOR = 8, 8, 20, 0.3
BEGIN = TOKENS  # the id before every text
LENGTH, PARTS = 60, 10  # tokens of a text, and parts over which distances are averaged
EXAMPLE = 6  # tokens of an example, the delimiter included: the fifth is the answer
STEPS, BATCH, RATE, TESTED = 2_000, 16, 5e-3, 400
# The rules, written before the run. Distances in nats and accuracies of each seed. In the first
# part and the first example there is little to infer from, and nothing to be wrong about.
NEARS = Claim("texts: nearer to the right concept, last tenth < first", "3.1.2", larger=False)
FALLS = Claim("texts: nearer to the best prediction, last tenth < second", "3.1.2", larger=False)
SINGLE = Claim("texts: nearer to it than the best single concept", "3.1.2", larger=False)
PRIOR = Claim("texts: and than all concepts without inference", "3.1.2", larger=False)
SHOTS = Claim("prompts: nearer to the right concept, last example < second", "3.1.2", larger=False)
SHOTS_BEST = Claim(
    "prompts: nearer to the best prediction, last example < second", "3.1.2", larger=False
)
RIGHT = Claim(
    "prompts: answers of the last third of examples are right more often than the first",
    "3.1.2",
    limit=1.0,
)
FLAT = Claim(
    "one concept: second and last example as near to the exact prediction, within 0.02",
    "3.1.2",
    larger=False,
    least=-0.02,
)
NO_GAIN = Claim("one concept: shots help less than with eight", "3.1.2", larger=False)


def trained(mixture, steps, seed, device):
    """A GPT that has read texts of the mixture, none of them twice."""
    # BEGIN adds one id to the vocabulary, and one position to a text.
    config = GPTConfig(
        TOKENS + 1,
        LENGTH + 1,
        n_layer=2,
        n_head=4,
        d_model=64,
        positions="rope",
        norm="rms",
        bias=False,
        tied=False,
    )
    model = GPT(config, seed)
    # Embeddings ten times GPT-2's: with 0.02 two layers learn more slowly.
    model.tokens.weight.data *= 10
    # The concepts of the texts are dropped: nothing of them enters the training.
    ids, _ = mixture.sample(steps * BATCH, LENGTH, seed)
    begin = np.full((len(ids), 1), BEGIN)
    rows = np.concatenate([begin, ids], axis=1)  # (texts, 1 + LENGTH)
    fit(
        model.to(device),
        CausalLM(),
        rows,
        steps=steps,
        batch_size=BATCH,
        learning_rate=RATE,
        weight_decay=0.0,
        seed=seed,
    )
    return model


def on_texts(mixture, model, seed):
    """KL divergences on new texts of the mixture, by tenths of a text: {name: (PARTS,)}."""
    # Seeds 1000 away from those of training: these texts are new. The last of the T + 1
    # predictions has no token to be compared with, and is cut off.
    ids, concepts = mixture.sample(TESTED, LENGTH, seed + 1000)
    log_q = model_predictions(model, ids, BEGIN)[:, :LENGTH]  # (B, T, V)
    best = mixture.predict(ids)[:, :LENGTH]
    alone = by_concept(mixture, ids)[:, :LENGTH]  # (B, T, C, V)
    right = alone[np.arange(TESTED), :, concepts]  # (B, T, V)

    def parts(p, log_q):
        # (B, T) -> (B, PARTS, T / PARTS) -> (PARTS,), the mean over texts and within each part
        distances = divergence(p, log_q).reshape(TESTED, PARTS, -1)
        return distances.mean(axis=(0, 2))

    with np.errstate(divide="ignore"):  # log 0 where p is 0 too
        log_best, log_alone = np.log(best), np.log(alone)
        # Without inference: p(theta | x_<t) is replaced by the prior p(theta).
        mean = np.einsum("btcv,c->btv", alone, mixture.prior)
        log_prior = np.log(mean)
    # One concept for all texts, the one whose mean distance is least.
    C = len(mixture.prior)
    singles = [parts(best, log_alone[:, :, c]) for c in range(C)]
    return {
        "model, from the best prediction": parts(best, log_q),
        "best single concept, from it": min(singles, key=np.mean),
        "no inference, from it": parts(best, log_prior),
        "model, from the right concept": parts(right, log_q),
        "best prediction, from it": parts(right, log_best),
    }


def on_prompts(mixture, model, seed):
    """The model beside the best prediction in prompts of examples: Shots."""
    # An example begins in any state but that of property 0, the delimiter. It has EXAMPLE - 1
    # tokens of its own, and the delimiter behind them.
    ids, concepts = mixture.prompts(
        TESTED,
        LENGTH // EXAMPLE,
        EXAMPLE - 1,
        range(1, PROPERTIES),
        seed + 2000,
    )
    return compare(mixture, model, ids, concepts, EXAMPLE, BEGIN)


def run(seed, steps, device):
    """All measurements of one seed: {"eight" or "one": (on_texts, on_prompts)}."""
    mixture = ginc(CONCEPTS, 1, PROPERTIES, TOKENS, floor=FLOOR, seed=seed)
    # The limit: the first concept alone, whose posterior is 1 from the beginning.
    # Slices keep the axis of concepts, now of size 1; the emission is common to all concepts.
    alone = replace(
        mixture,
        prior=[1.0],
        start=mixture.start[:1],
        transition=mixture.transition[:1],
    )
    found = {}
    for name, world in (("eight", mixture), ("one", alone)):
        model = trained(world, steps, seed, device)
        texts = on_texts(world, model, seed)
        prompts = on_prompts(world, model, seed)
        found[name] = texts, prompts
    return found


def means(runs, world):
    """The curves of a world, one row a seed: {name: (seeds, parts)} of texts, and of prompts."""
    of_texts = [r[world][0] for r in runs]
    of_prompts = [r[world][1] for r in runs]
    texts = {name: np.array([curves[name] for curves in of_texts]) for name in of_texts[0]}
    fields = "divergence", "concept", "posterior", "best", "model"
    prompts = {}
    for name in fields:
        prompts[name] = np.array([getattr(shots, name) for shots in of_prompts])
    return texts, prompts


def show(runs):
    """Print the curves: means over seeds."""
    texts, prompts = means(runs, "eight")
    one, one_prompts = means(runs, "one")
    print("KL in nats by tenths of a text, means over seeds")
    one = {"one concept: from the best": one["model, from the best prediction"]}
    for name, values in (texts | one).items():
        print(f"    {name:<32}" + "".join(f"{x:>6.3f}" for x in values.mean(axis=0)))
    print("by examples of a prompt, means over seeds")
    rows = {
        "model, from the best prediction": prompts["divergence"],
        "model, from the right concept": prompts["concept"],
        "posterior of the right concept": prompts["posterior"],
        "right answers, best prediction": prompts["best"],
        "right answers, model": prompts["model"],
        "one concept: from the best": one_prompts["divergence"],
        "one concept: right answers": one_prompts["model"],
    }
    for name, values in rows.items():
        print(f"    {name:<32}" + "".join(f"{x:>6.3f}" for x in values.mean(axis=0)))
    whole = texts["model, from the best prediction"].mean(axis=1)
    print(f"whole texts, model from the best prediction: {mean_and_range(whole)}")


def gain(right):
    """Accuracy in the last third of examples less that in the first: (seeds, n) -> (seeds,)."""
    # The first example has no other before it, so it alone is the accuracy without shots.
    third = right.shape[1] // 3
    return right[:, -third:].mean(axis=1) - right[:, 0]


def verdicts(runs):
    """Print the verdict of every claim."""
    texts, prompts = means(runs, "eight")
    _, one = means(runs, "one")
    concept = texts["model, from the right concept"]
    best = texts["model, from the best prediction"]
    # Distances from the best prediction are compared from the second part on: in the first there
    # is hardly anything to infer, so the model can hardly be wrong about it.
    print(NEARS.line(concept[:, -1], concept[:, 0]))
    print(FALLS.line(best[:, -1], best[:, 1]))
    # Over whole texts: KL(best || model) against KL(best || rival), one mean a seed.
    whole = best.mean(axis=1)
    print(SINGLE.line(whole, texts["best single concept, from it"].mean(axis=1)))
    print(PRIOR.line(whole, texts["no inference, from it"].mean(axis=1)))
    print(SHOTS.line(prompts["concept"][:, -1], prompts["concept"][:, 1]))
    distance = prompts["divergence"]
    print(SHOTS_BEST.line(distance[:, -1], distance[:, 1]))
    print(RIGHT.line(gain(prompts["model"]), 0.0))
    # Nothing may change in either direction, hence the absolute difference against 0.
    change = np.abs(one["divergence"][:, -1] - one["divergence"][:, 1])
    print(FLAT.line(change, 0.0))
    print(NO_GAIN.line(gain(one["model"]), gain(prompts["model"])))


def plot(path, runs):
    """Save the curves of texts and of prompts as a picture."""
    texts, prompts = means(runs, "eight")
    shots = np.arange(LENGTH // EXAMPLE)
    with Picture(path, columns=3) as picture:
        left = picture.panel("texts", "tenth of the text", "KL (nats)")
        for name, values in texts.items():
            left.curve(name, np.arange(1, PARTS + 1), values)
        middle = picture.panel("prompts", "examples before", "KL (nats)")
        middle.curve("model, from the best prediction", shots, prompts["divergence"])
        middle.curve("model, from the right concept", shots, prompts["concept"])
        right = picture.panel("the right concept, right answers", "examples before", "posterior")
        for name in ("posterior", "best", "model"):
            right.curve(name, shots, prompts[name])


def main(argv=None):
    """Train and measure every seed, print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    add_plot(parser)
    parser.add_argument("--quick", action="store_true", help="two seeds, 40 steps")
    args = parser.parse_args(argv)
    backend.blas_threads(1)
    began = time.process_time()
    seeds, steps = range(args.seed, args.seed + 5), STEPS
    if args.quick:
        seeds, steps = seeds[:2], 40
        print(ONLY_RUNS)
    runs = [run(seed, steps, args.device) for seed in seeds]
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time() - began:.0f} s of one core")
    verdicts(runs)
    if args.plot:
        plot(args.plot, runs)


if __name__ == "__main__":
    main()
