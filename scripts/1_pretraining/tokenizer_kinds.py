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
      sampled, power 1.0                           1.018 times the tokens (1.017 .. 1.019 over 3 seeds)
      sampled, power 0.2                           1.289 times the tokens (1.285 .. 1.296 over 3 seeds)
    WordPiece                2000      0.2 s    21446           1.78         3.7     5.1
    Unigram needs 1.061 times the tokens of BPE: the claim does not show
"""

import argparse
import time

import numpy as np

from tinylm.backend import Random
from tinylm.data import python_documentation, read_text, split_text, without_repeats
from tinylm.tokenizers import BPETokenizer, UnigramTokenizer, train_wordpiece


def main(argv=None):
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
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
    train, test = split_text(text[: len(text) // 5] if options.quick else text, 0.1)
    size = len(test.encode())
    makers = {
        "BPE": BPETokenizer.train,
        "Unigram": UnigramTokenizer.train,
        "WordPiece": train_wordpiece,
    }
    print(f"{size} bytes not seen in training; V = {options.vocab_size} wanted")
    print(
        f"{'kind':<22} {'V':>6} {'learnt in':>10} {'tokens':>8} {'bytes a token':>14} {'MB/s first':>11} {'again':>7}"
    )
    counts = {}
    for name, make in makers.items():
        start = time.process_time()
        tokenizer = make(train, options.vocab_size)
        learnt, speeds = time.process_time() - start, []
        tokenizer.encode(train[:100])  # compile what is compiled once
        for _ in range(2):
            start = time.process_time()
            tokenizer.encode(train)
            speeds.append(len(train.encode()) / (time.process_time() - start) / 1e6)
        counts[name] = len(tokenizer.encode(test))
        print(
            f"{name:<22} {tokenizer.vocab_size:>6} {learnt:>8.1f} s {counts[name]:>8} {size / counts[name]:>14.2f} "
            f"{speeds[0]:>11.1f} {speeds[1]:>7.1f}"
        )
        if name == "Unigram":
            for power in (1.0, 0.2):
                drawn = [
                    len(tokenizer.sample(test[:20_000], Random(seed), power))
                    / len(tokenizer.encode(test[:20_000]))
                    for seed in range(options.seed, options.seed + 3)
                ]
                spread = f"({min(drawn):.3f} .. {max(drawn):.3f} over 3 seeds)"
                print(
                    f"  sampled, power {power:<6} {np.mean(drawn):>28.3f} times the tokens {spread}"
                )
    ratio = counts["Unigram"] / counts["BPE"]
    print(
        f"Unigram needs {ratio:.3f} times the tokens of BPE: the claim {'shows' if abs(ratio - 1) < 0.05 else 'does not show'}"
    )


if __name__ == "__main__":
    main()
