"""`tinylm bench batches`: the cost of making a batch relative to a training step on it, for every
objective.

The step waits for the corruption, so that time is lost. The model is the default of
`tinylm train`, on bytes; the batches are of Python's own English. Read next:
pretrain/objectives.py.
"""

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tinylm.backend import Random
from tinylm.data import RandomWindows
from tinylm.machine import keep_freed_memory
from tinylm.optim import AdamW, FlatParameters
from tinylm.pretrain.objectives import OBJECTIVES
from tinylm.tokenizers import ByteTokenizer
from tinylm.train import TrainConfig, train_step
from tinylm.train.run.build import new_model
from tinylm.train.run.run import new_objective

TARGET = 0.05  # at most this share of the time may go into making the batch
MORE = {
    "translation": {"data": "pairs"},
    "code-switching": {"dictionary": "letters"},
}  # stand-ins; nothing is read
LETTERS = {chr(i): [chr(i).upper()] for i in range(ord("a"), ord("z") + 1)}


def prepared(name: str, text: np.ndarray, **sizes: Any) -> tuple:
    """(objective, model, rows to make a batch of) for an objective.

    text     (n,) ids of bytes
    sizes    fields of TrainConfig
    """
    config = TrainConfig(objective=name, dropout=0.0, **MORE.get(name, {}), **sizes).check()
    recipe, tokenizer = config.recipe, ByteTokenizer()
    special = config.special(tokenizer.vocab_size)
    objective = new_objective(config, tokenizer, text, LETTERS)
    length = config.context if recipe.shifted else config.context - 1
    rows = RandomWindows(text, length, config.batch_size, config.seed)

    def batch(step):
        drawn = rows.batch(step)
        if recipe.pairs:
            return [(row[: len(row) // 2], row[len(row) // 2 :]) for row in drawn]
        return drawn

    return objective, new_model(config, special), batch


def measured(name: str, text: np.ndarray, rounds: int, **sizes: Any) -> Any:
    """Seconds of make_batch and of a training step, the medians of `rounds` of each, taken in turn."""
    objective, model, rows = prepared(name, text, **sizes)
    optimizer = AdamW(FlatParameters(model.named_parameters()), 1e-3)
    making, training = [], []
    for step in range(rounds + 1):  # the first warms up
        sequences = rows(step)
        start = time.perf_counter()
        batch = objective.make_batch(sequences, Random(0, "bench", step))
        made = time.perf_counter()
        train_step(model, objective, optimizer, batch, 0, len(batch), 1e-3, 1.0)
        making.append(made - start)
        training.append(time.perf_counter() - made)
    return {
        "objective": name,
        "make_batch": statistics.median(making[1:]),
        "step": statistics.median(training[1:]),
    }


def batches(
    rounds: int, names: Iterable[str] = OBJECTIVES, **sizes: Any
) -> Iterator[dict[str, Any]]:
    """Yield measured() for every objective, with the share of the time that making a batch takes."""
    from tinylm.data import python_documentation

    keep_freed_memory()
    text = np.frombuffer(python_documentation().encode(), np.uint8).astype(np.int64)
    for name in names:
        row = measured(name, text, rounds, **sizes)
        yield {**row, "share": row["make_batch"] / (row["make_batch"] + row["step"])}


HEAD = (
    "making a batch and a training step on it, with the default model of each objective:\n"
    f"  {'':<22}{'make_batch ms':>14}{'step ms':>10}{'share':>8}"
)


def line(row: dict[str, Any]) -> str:
    """A row of batches() as text."""
    text = (
        f"  {row['objective']:<22}{1e3 * row['make_batch']:>14.3f}"
        f"{1e3 * row['step']:>10.1f}{row['share']:>8.2%}"
    )
    if row["share"] > TARGET:
        text += "  above the target"
    return text


def verdict(rows: Sequence[dict[str, Any]]) -> str:
    """How many are within the target, as a line."""
    within = sum(row["share"] <= TARGET for row in rows)
    return f"  {within} of {len(rows)} take at most {TARGET:.0%} of the time of both"
