"""Word vectors find the words that are used alike (book section 1.1; Mikolov et al. 2013).

Claims: the vector of a word is nearest to those of words used like it; of skip-gram's two tricks
(2013b), noise words drawn by count^0.75 are better than by count or evenly, and thinning out
frequent words is better than keeping all. The oracle is exact: each of 100 words is written in two
ways, w or w', chosen at random at every place. Both are used alike by construction, so w' should be
the nearest neighbor of w; the score is the mean reciprocal rank of w' among all words (1: always
the first). The text is Python's documentation (`--data FILE...` takes others). `python
scripts/1_pretraining/word_vectors.py [--data FILE...] [--seed N] [--device cpu] [--quick]`; --quick
has 3 epochs for 8 and 2 seeds for 5. About 7 minutes on one core, --quick 1.5.

Measured output:

    93681 words of text, 1350 different; neighbors:
      method     method', static, called
      list       list', comma-separated, tuple
      two        three, levels, one
      must       must', evaluate, subscript
      integer    presentation, literals, floating
    mean reciprocal rank of the other spelling; chance 0.0058; 5 seeds
      skip-gram        0.809 +- 0.024   2.93 million examples
      noise by count   0.820 +- 0.024   2.93 million examples
      even noise       0.781 +- 0.023   2.93 million examples
      all words kept   0.897 +- 0.020   6.00 million examples
      CBOW             0.516 +- 0.035   0.37 million examples
    words used alike are nearest to each other (against chance) (section 1.1): +0.803 [+0.773,
      +0.832], 5 seeds: shows
    noise by count^0.75 is better than by count (section 1.1): -0.0113 [-0.0387, +0.016], 5 seeds:
      too small to tell; 0.027 could have been seen
    noise by count^0.75 is better than an even one (section 1.1): +0.0277 [-0.00424, +0.0597], 5
      seeds: too small to tell; 0.032 could have been seen
    thinning out frequent words is better than keeping all, at equal passes (section 1.1): -0.0889
      [-0.131, -0.0471], 5 seeds: shows the opposite
    skip-gram is better than CBOW on so small a text (section 1.1): +0.293 [+0.246, +0.34], 5
      seeds: shows

Thinning halves the examples of a pass, and on 94,000 words that harms: the trick is for texts of a
billion words, where "the" is met often enough without most of its places. CBOW has an eighth of
skip-gram's examples a pass, which may be why it comes second. The exponent of the noise makes no
difference of the size that could have been seen.
"""

import argparse
import time

import numpy as np

import tinylm as tl
from tinylm.backend import to_cpu, to_device
from tinylm.data import python_documentation, read_text, without_repeats
from tinylm.errors import DataError
from tinylm.models.early.word2vec import (
    CBOW,
    SkipGram,
    cbow_windows,
    cosine,
    draw_words,
    noise_distribution,
    skip_gram_pairs,
    subsample,
)
from tinylm.optim import AdamW
from tinylm.tokenizers.words import words_and_punctuation
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_sd

WIDTH, WINDOW, NEGATIVES, BATCH, RATE = 48, 4, 5, 512, 5e-3
LEAST, TWINS = 5, 100  # a word must be met so often; how many are written in two ways
THRESHOLD = 1e-3  # of subsample: 1e-5 is for texts of a billion words

ALIKE = Claim("words used alike are nearest to each other (against chance)", "1.1", least=0.1)
NOISE = Claim("noise by count^0.75 is better than by count", "1.1", limit=1.0)
EVEN = Claim("noise by count^0.75 is better than an even one", "1.1", limit=1.0)
THINNED = Claim(
    "thinning out frequent words is better than keeping all, at equal passes", "1.1", limit=1.0
)
ORDER = Claim("skip-gram is better than CBOW on so small a text", "1.1", limit=1.0)
KINDS = {
    "skip-gram": {},
    "noise by count": {"power": 1.0},
    "even noise": {"power": 0.0},
    "all words kept": {"threshold": np.inf},
    "CBOW": {"model": CBOW},
}


def with_twins(text, seed):
    """The ids of a text in which TWINS words are written in two ways at random.

    returns  tokens (T,), the words, and (TWINS, 2): the ids of w and w'. Words met fewer than LEAST
             times are left out, as in word2vec
    """
    rng = tl.Random(seed, "twins")
    met = [word.lower() for word in words_and_punctuation(text)]
    words, ids, counts = np.unique(met, return_inverse=True, return_counts=True)
    # Words of middling frequency: no "the", and each spelling is met often enough.
    ranks = np.argsort(-counts)[40 : 40 + TWINS]
    chosen = ranks[counts[ranks] >= 4 * LEAST]
    if not len(chosen):
        raise DataError("the text is too short: no word is met often enough; give more with --data")
    other = np.full(len(words), -1)
    other[chosen] = len(words) + np.arange(TWINS)  # the id of w'
    second = (other[ids] >= 0) & (rng.uniform(ids.shape, np.float64) < 0.5)
    tokens = np.where(second, other[ids], ids)
    spelled = [*words, *(words[i] + "'" for i in chosen)]
    kept = np.flatnonzero(np.bincount(tokens, minlength=len(spelled)) >= LEAST)
    new = np.full(len(spelled), -1)
    new[kept] = np.arange(len(kept))
    tokens = new[tokens]
    return (
        tokens[tokens >= 0],
        [spelled[i] for i in kept],
        new[np.stack([chosen, other[chosen]], 1)],
    )


def train(tokens, V, epochs, seed, device, model=SkipGram, power=0.75, threshold=THRESHOLD):
    """Word vectors (V, D) of one run, and how many examples they were trained on.

    Every epoch thins the text out anew.
    """
    rng = tl.Random(seed, "word vectors")
    net = model(V, WIDTH, seed).to(device)
    optimizer = AdamW(net.named_parameters(), lr=RATE, weight_decay=0.0)
    noise = noise_distribution(np.bincount(tokens, minlength=V), power)
    examples = 0
    for epoch in range(epochs):
        text = subsample(tokens, rng, threshold)
        if model is CBOW:
            given, wanted = cbow_windows(text, WINDOW)  # (n, 2 WINDOW), (n,)
        else:
            given, wanted = skip_gram_pairs(text, WINDOW)  # (n,), (n,)
        order = rng.permutation(len(wanted))
        examples += len(order)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            negatives = draw_words(noise, (len(rows), NEGATIVES), rng)
            arrays = (to_device(ids, device) for ids in (given[rows], wanted[rows], negatives))
            optimizer.zero_grad()
            with tl.first_order_only():
                net.loss(*arrays).backward()
            optimizer.step(RATE * (1 - (epoch + start / len(order)) / epochs))
    return to_cpu(net.words.data), examples


def reciprocal_rank(vectors, twins):
    """Mean of 1 / rank of the twin among all neighbors of a word, both ways."""
    similar = cosine(vectors)
    np.fill_diagonal(similar, -np.inf)  # a word is no neighbor of its own
    pairs = np.concatenate([twins, twins[:, ::-1]])
    score = similar[pairs[:, 0], pairs[:, 1]]
    ranks = 1 + (similar[pairs[:, 0]] > score[:, None]).sum(1)
    return float(np.mean(1 / ranks))


def main(argv=None):
    """Train every kind with every seed, print neighbors, scores and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", nargs="*", help="texts; none: Python's documentation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    text = without_repeats(python_documentation())
    if options.data:
        text = "\n\n".join(part for path in options.data for part in read_text(path))
    epochs, seeds = 8, 5
    if options.quick:
        print(ONLY_RUNS)
        epochs, seeds = 3, 2
    scores, examples = {name: [] for name in KINDS}, {}
    started = time.time()
    for seed in range(options.seed, options.seed + seeds):
        tokens, words, twins = with_twins(text, seed)
        for name, settings in KINDS.items():
            vectors, examples[name] = train(
                tokens, len(words), epochs, seed, options.device, **settings
            )
            scores[name].append(reciprocal_rank(vectors, twins))
            if name == "skip-gram" and seed == options.seed:
                print(f"{len(tokens)} words of text, {len(words)} different; neighbors:")
                show_neighbors(vectors, words)
    chance = np.mean(1 / np.arange(1, len(words)))
    print(f"mean reciprocal rank of the other spelling; chance {chance:.4f}; {seeds} seeds")
    for name, found in scores.items():
        print(f"  {name:<16} {mean_and_sd(found)}   {examples[name] / 1e6:.2f} million examples")
    ours = scores["skip-gram"]
    print(ALIKE.line(ours, [chance] * seeds))
    print(NOISE.line(ours, scores["noise by count"]))
    print(EVEN.line(ours, scores["even noise"]))
    print(THINNED.line(ours, scores["all words kept"]))
    print(ORDER.line(ours, scores["CBOW"]))
    print(f"{time.time() - started:.0f} s")


def show_neighbors(vectors, words):
    """The three nearest words of a few."""
    similar = cosine(vectors)
    for word in ("method", "list", "two", "must", "integer"):
        if word in words:
            near = np.argsort(-similar[words.index(word)])[1:4]
            print(f"  {word:<10} {', '.join(words[i] for i in near)}")


if __name__ == "__main__":
    main()
