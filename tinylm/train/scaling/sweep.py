"""Runs of one's own: a small GPT for each pair of size and tokens, every text read once, kept as
JSON lines.

Each run has its own schedule, which ends with its tokens: the loss of a longer run that is cut
short is not the loss of a run of that length (Hoffmann et al. 2022 found that Kaplan's exponents
suffered from that). Read next: fits.py.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from tinylm.autograd import no_grad
from tinylm.backend import Random, to_cpu, to_device
from tinylm.data import EvenWindows
from tinylm.errors import ConfigError, DataError
from tinylm.models import GPT
from tinylm.models.decoder.config import GPTConfig
from tinylm.nn.module import Module
from tinylm.optim import AdamW
from tinylm.optim.schedule import cosine, warm_up_steps
from tinylm.pretrain import CausalLM
from tinylm.train.evaluation import evaluate
from tinylm.train.log import passed_over, scan
from tinylm.train.scaling.accounting import non_embedding_parameters, step_flops
from tinylm.train.step import train_step


@dataclass(frozen=True)
class Run:
    """The result of one run.

    width, layers  of the model
    parameters     all of them;  non_embedding  Kaplan's count
    tokens         targets that it was trained on
    flops          of matrix products, exactly
    loss           nats per held-out token
    measures       {"accuracy": share of right tokens} and the results of the probe
    curve          [tokens so far, mean training loss since the last] at a few places
    """

    width: int
    layers: int
    parameters: int
    non_embedding: int
    tokens: int
    flops: float
    seed: int
    loss: float
    seconds: float
    measures: dict
    curve: tuple = ()


def one_pass(ids: np.ndarray, T: int, tokens: int, batch: int, seed: int) -> Iterator[np.ndarray]:
    """Yield batches (batch, T + 1) of adjacent windows of a text, drawn without replacement until
    `tokens` are read.

    With the same seed, more tokens are the same windows and further ones, from all over the text:
    only the amount changes.

    raises   DataError if the text is shorter
    """
    count, there = tokens // (T * batch) * batch, (len(ids) - 1) // T
    if count < batch or count > there:
        raise DataError(
            f"one_pass: {tokens} tokens in windows of {T}, {batch} at a time, from a text of "
            f"{len(ids)}: give a longer text, or ask for fewer tokens, but at least a batch"
        )
    order = Random(seed, "one pass").permutation(there)[:count]
    for at in range(0, count, batch):
        first = order[at : at + batch, None] * T  # (batch, 1)
        yield np.asarray(ids)[first + np.arange(T + 1)].astype(np.int64)  # (batch, T + 1)


def train_one(
    config: GPTConfig,
    ids: np.ndarray,
    held_out: np.ndarray,
    tokens: int,
    batch: int,
    learning_rate: float,
    seed: int = 0,
    device: str = "cpu",
    points: int = 16,
    probe: Callable | None = None,
) -> Run:
    """Train one GPT on `tokens` of a text, none of them twice.

    config         GPTConfig; its context is the length of windows
    ids, held_out  (n,) integers to learn from and to measure on
    learning_rate  peak; rises for a tenth of the steps (at most 100) and falls by a cosine to a
                   tenth
    probe          (best (n, T), targets (n, T)) -> dict of more measures of the most probable
                   tokens; None: accuracy alone
    returns        Run
    """
    if tokens < batch * config.context:
        raise ConfigError(
            f"train_one: {tokens} tokens are less than one batch of {batch} x {config.context}"
        )
    began, T = time.process_time(), config.context
    model, objective = GPT(config, seed).to(device), CausalLM()
    optimizer = AdamW(model.named_parameters(), betas=(0.9, 0.95), weight_decay=0.0)
    steps = tokens // (T * batch)
    warmup = warm_up_steps(min(100, steps // 10 + 1), steps)
    losses = []
    for step, windows in enumerate(one_pass(ids, T, tokens, batch, seed)):
        rate = learning_rate * cosine(step, steps, warmup)
        rows = objective.make_batch(windows).to(device)
        losses.append(train_step(model, objective, optimizer, rows, 0, batch, rate, clip=1.0).loss)
    curve = []
    for part in np.array_split(np.arange(steps), min(points, steps)):
        read = int(part[-1] + 1) * T * batch  # tokens up to the end of this part
        curve.append((read, float(np.mean([losses[i] for i in part]))))
    model.eval()
    loss = evaluate(model, objective, EvenWindows(held_out, T), 64, device=device)[0]
    return Run(
        config.d_model,
        config.n_layer,
        model.count_parameters(),
        non_embedding_parameters(config),
        steps * T * batch,
        float(steps * step_flops(config, batch, T)),
        seed,
        float(loss),
        time.process_time() - began,
        measure(model, held_out, T, device, probe),
        tuple(curve),
    )


def measure(
    model: Module,
    held_out: np.ndarray,
    T: int,
    device: str = "cpu",
    probe: Callable | None = None,
    windows: int = 512,
) -> dict[str, Any]:
    """{"accuracy": share of right tokens} on the first held-out windows, and the probe's dict."""
    rows = next(EvenWindows(held_out, T).batches(windows))
    with no_grad():
        logits = model(to_device(rows[:, :-1], device)).data  # (n, T, V)
        best = to_cpu(np.argmax(logits, axis=-1))  # (n, T)
    targets = rows[:, 1:]  # (n, T)
    found = {"accuracy": float(np.mean(best == targets))}
    if probe:
        found |= probe(best, targets)
    return found


def save_run(run: Run, path: str | Path) -> None:
    """Append a run to a file of JSON lines."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(run)) + "\n")


def load_runs(path: str | Path, report: Callable = print) -> list[Run]:
    """The runs of a file; [] if there is none. `report` gets a line about damaged lines."""
    if not Path(path).exists():
        return []
    runs, damaged = [], []
    for number, line, run in scan(path, _run):
        if run is None:
            damaged.append((number, line))
        else:
            runs.append(run)
    if damaged:
        report(passed_over(path, damaged))
    return runs


def _run(value):
    """The Run of a JSON value from `save_run`; ValueError if it is none."""
    if not isinstance(value, dict) or set(value) != set(Run.__dataclass_fields__):
        raise ValueError("other fields than a run has")
    plain = {"measures": dict, "curve": list}
    for name, kind in get_type_hints(Run).items():
        found = value[name]
        if name in plain:
            fits = type(found) is plain[name]
        else:
            fits = type(found) in (int, kind) and abs(found) < 1e300  # not nan, not true
        if not fits:
            raise ValueError(f"{name} is {found!r}")
    pairs = [point for point in value["curve"] if isinstance(point, list) and len(point) == 2]
    numbers = [value["measures"].get("accuracy"), *itertools.chain.from_iterable(pairs)]
    if len(pairs) != len(value["curve"]) or not all(type(x) in (int, float) for x in numbers):
        raise ValueError("the accuracy or the curve are not numbers")
    return Run(**{**value, "curve": tuple(map(tuple, pairs))})
