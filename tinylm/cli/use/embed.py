"""`tinylm embed minilm "text" "text" ...`: sentence embeddings and their cosine similarities.

The number between two sentences is the cosine of the angle between their vectors: 1 for the same
direction, 0 for a right angle; sentences about unrelated things come close to 0. The weights are
published ones (`minilm`) or a folder with an encoder; the text "-" stands for the lines of the
standard input.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.cli.options import parse
from tinylm.files import WholeFile
from tinylm.reading import standard_input
from tinylm.settings import setting


@dataclass
class EmbedConfig:
    """Settings of `tinylm embed`."""

    out: str = setting("", "also write the vectors to this file, as NumPy's .npy")


def main(argv: Sequence) -> None:
    """Print the vector of one text, or the table of cosines of several."""
    import numpy as np

    config, (name, *texts) = parse(
        argv,
        EmbedConfig,
        positionals=("WEIGHTS", "TEXT..."),
        verb="embed",
        about=__doc__,
        examples=(
            'tinylm embed minilm "A cat sits outside" "A dog plays in the garden" "The price of oil rose"',
            "cat lines.txt | tinylm embed minilm - --out vectors.npy",
        ),
    )
    from tinylm.models.published.sentence_encoder import load_sentence_encoder

    encoder = load_sentence_encoder(name)
    # The lines stand where the "-" stood, so that other texts may surround them.
    if "-" in texts:
        at = texts.index("-")
        texts[at : at + 1] = _lines()
    # (n, D), each row of length 1
    vectors = encoder(texts)
    if config.out:
        # Written aside and renamed: an interrupted run leaves no half of a file.
        with WholeFile(config.out) as file:
            np.save(file, vectors)
    if len(texts) == 1:
        first = ", ".join(f"{x:+.4f}" for x in vectors[0, :8])
        print(f"{vectors.shape[1]} numbers of length 1: {first}, ...")
    else:
        # Of rows of length 1 the products are the cosines: (n, D) @ (D, n) -> (n, n).
        print(table(texts, vectors @ vectors.T))


def table(texts: Sequence[str], cosines: np.ndarray, width: int = 60) -> Any:
    """Every text with its cosines to all, as lines of text."""
    numbers = range(1, len(texts) + 1)
    lines = ["  ".join(f"{n:>6}" for n in numbers)]
    for n, text, row in zip(numbers, texts, cosines):
        if len(text) > width:
            text = text[: width - 3] + "..."
        lines.append("  ".join(f"{x:6.3f}" for x in row) + f"  {n} {text}")
    return "\n".join(lines)


def _lines():
    """The lines of the standard input; only a line feed ends one."""
    *whole, rest = standard_input().split("\n")
    if rest:
        return [*whole, rest]
    return whole
