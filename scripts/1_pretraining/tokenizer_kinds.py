"""BPE, WordPiece and Unigram learnt from the same text: how many tokens, how fast; book section 1.1
(tokenization).

Claim, from the papers: BPE and Unigram of one size need about the same number of tokens for text
they have not seen (Kudo 2018, table 1; Bostrom & Durrett 2020), and sampling another segmentation
each time costs more tokens. WordPiece's score prefers pairs that always stand together over
frequent ones, so a small vocabulary fills with rare pieces. The first nine tenths of Python's
documentation teach, the last is measured (`--data FILE` takes another text). Of the 2,000 tokens,
256 are bytes; BPE makes letters of them, for Unigram they are a reserve, which costs it about 100
pieces. At V = 4,000 Unigram needs 1.046 times BPE's tokens. About ten seconds. `python
scripts/1_pretraining/tokenizer_kinds.py [--data FILE] [--vocab-size V] [--seed N] [--device cpu]
[--quick]`; --quick takes a fifth.

Measured output (one core of a shared machine; speeds vary by a factor of two):

    38101 bytes not seen in training; V = 2000 wanted
    kind                        V  learnt in   tokens  bytes a token  MB/s first   again
    BPE                      2000      0.2 s    11278           3.38         2.4     3.5
    Unigram                  2000      2.0 s    11969           3.18         1.1     3.3
      sampled, power 1.0                              1.018 (1.017 .. 1.019) times the tokens, 3 seeds
      sampled, power 0.2                              1.289 (1.285 .. 1.296) times the tokens, 3 seeds
    WordPiece                2000      0.2 s    21446           1.78         3.7     5.1
    Unigram needs 1.061 (1.020 .. 1.089) times the tokens of BPE, 8 parts of text
    Unigram needs less than 1.05 times the tokens of BPE and more than 1 / 1.05 times, logarithms:
      -0.0103 [-0.0284, +0.00783], 8 seeds: too small to tell; 0.018 could have been seen
    power 1.0, a sampled segmentation has more tokens than the best, logarithms: +0.0181 [+0.0161,
      +0.0201], 3 seeds: shows
    power 0.2, a sampled segmentation has more tokens than the best, logarithms: +0.254 [+0.242,
      +0.265], 3 seeds: shows

Whether Unigram needs at most 5 % more than BPE cannot be seen in 38 kB of text: the interval of its
eight parts, taken as runs, holds the bound.
"""

import argparse
import time

import numpy as np

from tinylm.backend import Random
from tinylm.data import python_documentation, read_text, split_text, without_repeats
from tinylm.tokenizers import BPETokenizer, UnigramTokenizer, train_wordpiece
from tinylm.train.experiments.compare import Claim, mean_and_range, weakest

# Parts of the held-out text, each a run: tokenizers have no seeds. A ratio is judged by its log.
PARTS = 8
FEWER = Claim("Unigram needs less than 1.05 times the tokens of BPE", "1.1", larger=False)
MORE = Claim("and more than 1 / 1.05 times", "1.1")
SAMPLED = Claim("a sampled segmentation has more tokens than the best", "1.1")


def parts_of(text):
    """The text in PARTS pieces of equal length."""
    cuts = [len(text) * i // PARTS for i in range(PARTS + 1)]
    return [text[a:b] for a, b in zip(cuts, cuts[1:])]


def main(argv=None):
    """Train three tokenizers, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", default="")
    parser.add_argument("--vocab-size", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    if options.data:
        text = "\n\n".join(read_text(options.data))
    else:
        text = without_repeats(python_documentation())
    if options.quick:
        text = text[: len(text) // 5]
    train, test = split_text(text, 0.1)
    size = len(test.encode())
    makers = {
        "BPE": BPETokenizer.train,
        "Unigram": UnigramTokenizer.train,
        "WordPiece": train_wordpiece,
    }
    print(f"{size} bytes not seen in training; V = {options.vocab_size} wanted")
    print(
        f"{'kind':<22} {'V':>6} {'learnt in':>10} {'tokens':>8} {'bytes a token':>14} "
        f"{'MB/s first':>11} {'again':>7}"
    )
    counts, sampled = {}, {}
    for name, make in makers.items():
        start = time.process_time()
        tokenizer = make(train, options.vocab_size)
        # processor time: other programs on the machine do not count
        learnt, speeds = time.process_time() - start, []
        tokenizer.encode(train[:100])  # compile what is compiled once
        # twice: words met before are cached
        for _ in range(2):
            start = time.process_time()
            tokenizer.encode(train)
            speeds.append(len(train.encode()) / (time.process_time() - start) / 1e6)
        counts[name] = np.array([len(tokenizer.encode(part)) for part in parts_of(test)])
        total = len(tokenizer.encode(test))
        print(
            f"{name:<22} {tokenizer.vocab_size:>6} {learnt:>8.1f} s {total:>8} "
            f"{size / total:>14.2f} {speeds[0]:>11.1f} {speeds[1]:>7.1f}"
        )
        if name == "Unigram":
            for power in (1.0, 0.2):
                # Pr(segmentation)^power, renormalized: the lower the power, the more even the draw
                best = len(tokenizer.encode(test[:20_000]))
                sampled[power] = [
                    len(tokenizer.sample(test[:20_000], Random(seed), power)) / best
                    for seed in range(options.seed, options.seed + 3)
                ]
                print(
                    f"  sampled, power {power:<6} {mean_and_range(sampled[power]):>48} "
                    "times the tokens, 3 seeds"
                )
    verdicts(counts, sampled)


def verdicts(counts, sampled):
    """Print the verdicts.

    counts   name -> tokens of each part of the text (PARTS,)
    sampled  power -> tokens relative to the best segmentation, of each seed
    """
    ratios = counts["Unigram"] / counts["BPE"]
    print(f"Unigram needs {mean_and_range(ratios)} times the tokens of BPE, {PARTS} parts of text")
    logs, bound = np.log(ratios), np.log(1.05)
    # "About the same" needs both: less than 5 % more, and less than 5 % fewer.
    both = weakest([FEWER.judge(logs, bound), MORE.judge(logs, -bound)])
    print(f"{FEWER.text} {MORE.text}, logarithms: {both}")
    for power, drawn in sampled.items():
        print(f"power {power}, {SAMPLED.text}, logarithms: {SAMPLED.judge(np.log(drawn), 0.0)}")


if __name__ == "__main__":
    main()
