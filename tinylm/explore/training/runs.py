"""Runs side by side: every curve of their logs, and what each checkpoint says after the prompt.

A run has one color in every panel. Of a log with more points than can be drawn, each stretch of
steps keeps its lowest and its highest: all points that are drawn are lines of the log. Read first:
train/log.py.
"""

import contextlib
from pathlib import Path

import numpy as np

from tinylm.errors import TinylmError
from tinylm.explore.at_hand import AtHand, Unsuitable
from tinylm.explore.page import Figure, source_of
from tinylm.generate import as_language_model
from tinylm.generate.loop import generate
from tinylm.models import GPT
from tinylm.train import checkpoint, load_run
from tinylm.train.log import NAME, read

MOST_POINTS = 500  # of a curve
SAMPLE = 80  # tokens after the prompt
TEMPERATURE = 0.8
MOST_SAMPLES = 6  # checkpoints of a run that say something

# key of the log: (title, unit, drawn on a logarithmic axis)
PANELS = {
    "loss": ("Loss", "nats", False),
    "bits_per_byte": ("Bits per byte", "bits per byte of held-out text", False),
    "grad_norm": ("Gradient norm", "norm of all gradients, before clipping", True),
    "lr": ("Learning rate", "learning rate", False),
    "tokens_per_second": ("Speed", "tokens per second", False),
}
EVENTS = {"step": "training", "validation": "held-out"}


def read_run(run: str | Path) -> dict:
    """The records of a run's log.

    run      directory, or the log itself
    returns  {"start": the first event or {}, "step": {step: record}, "validation": {step: record}};
             of a step that was trained twice, because the run was resumed, the later record
    raises   Unsuitable if there is no log, or no finished step in it
    """
    path = Path(run)
    if path.is_dir():
        path = path / NAME
    if not path.is_file():
        raise Unsuitable(f"needs the log of a run, and there is none at {path}")
    found = {"start": {}, "step": {}, "validation": {}}
    for event in read(path):
        if event["event"] == "start":
            found["start"] = found["start"] or event
        elif event["event"] in EVENTS:
            found[event["event"]][event["step"]] = event
    if not found["step"] and not found["validation"]:
        raise Unsuitable(f"{path} has no finished step yet")
    return found


def curve(records: dict, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps and the values of one key, in the order of the steps: (n,), (n,).

    A loss that was infinite is null in the log, and becomes nan: a gap.
    """
    pairs = sorted((step, record[key]) for step, record in records.items() if key in record)
    steps = np.array([step for step, _ in pairs], np.int64)
    values = np.array([np.nan if v is None else v for _, v in pairs], np.float64)
    return steps, values


def thinned(
    steps: np.ndarray, values: np.ndarray, most: int = MOST_POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """At most about `most` points of a curve, with every stretch's lowest and highest among them.

    steps, values   (n,)
    returns         the same, of fewer points, the first and the last among them
    """
    n = len(steps)
    if n <= most:
        return steps, values
    kept = {0, n - 1}
    for part in np.array_split(np.arange(n), most // 2):
        inside = values[part]
        if np.isnan(inside).all():
            kept.add(int(part[0]))  # a gap stays a gap
        else:
            kept |= {int(part[np.nanargmin(inside)]), int(part[np.nanargmax(inside)])}
    places = np.array(sorted(kept))
    return steps[places], values[places]


def panels(runs: list[dict], wanted: dict) -> list[dict]:
    """The panels that some run has.

    runs     of read_run();  wanted  as PANELS
    returns  list of {"key", "title", "unit", "log", "lines": list of {"run": number, "kind",
             "x", "y", "points": how many the log has}}
    """
    found = []
    for key, (title, unit, log) in wanted.items():
        lines = []
        for number, run in enumerate(runs):
            for event, kind in EVENTS.items():
                steps, values = curve(run[event], key)
                if np.isfinite(values).any():
                    x, y = thinned(steps, values)
                    line = {"run": number, "kind": kind, "points": len(steps), "x": x, "y": y}
                    lines.append(line)
        if lines:
            found.append({"key": key, "title": title, "unit": unit, "log": log, "lines": lines})
    return found


def names_of(runs: list[Path]) -> list[str]:
    """A short name for each run: the last part of its path, with as much before as tells apart."""
    parts = [Path(run).resolve().parts for run in runs]
    for n in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-n:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return ["/".join(part) for part in parts]


def samples(run: Path, prompt: str, seed: int) -> list[dict]:
    """What each checkpoint of a run says after a prompt: list of {"step", "prompt", "text"}.

    [] if the run has no checkpoint that continues texts. Of many checkpoints the first, the last,
    and some between them are asked.
    """
    kept = list(checkpoint.steps(run).items())
    places = np.unique(np.linspace(0, len(kept) - 1, min(len(kept), MOST_SAMPLES)).round())
    found = []
    for step, path in [kept[int(i)] for i in places]:
        try:
            model, tokenizer, _ = load_run(path)
        except TinylmError:  # a reward model, or one of another version: it says nothing
            return []
        if not isinstance(model, GPT):
            return []
        ids = tokenizer.encode(prompt).tolist()
        end = tokenizer.special.get("<|endoftext|>")
        if not ids and end is None:
            return []
        room = model.config.context
        ids = (ids or [end])[-room + 1 :]
        said = generate(
            as_language_model(model),
            ids,
            min(SAMPLE, max(room - len(ids), 1)),
            seed=seed,
            eos=end,
            temperature=TEMPERATURE,
        )
        text = tokenizer.decode(np.array(list(said), np.int64))
        found.append({"step": step, "prompt": prompt, "text": text})
    return found


def figures(at_hand: AtHand) -> list[Figure]:
    """The curves of the run at hand, and of those that it is compared with.

    raises   Unsuitable if there is no run, or no log in it
    """
    folders = [at_hand.run(), *map(Path, at_hand.compare)]
    runs = [read_run(folder) for folder in folders]
    found = panels(runs, PANELS)
    if not found:
        raise Unsuitable(f"needs a log with losses, and {folders[0]} has none")
    names, prompt = names_of(folders), at_hand.prompt
    if not prompt and checkpoint.steps(folders[0]):
        # Of a run that cannot be opened, such as a reward model, nothing is asked.
        with contextlib.suppress(TinylmError):
            prompt = at_hand.text
    data = {
        "runs": [
            {
                "name": name,
                "parameters": run["start"].get("parameters"),
                "objective": run["start"].get("config", {}).get("objective"),
                "samples": samples(folder, prompt, at_hand.seed),
            }
            for name, folder, run in zip(names, folders, runs)
        ],
        "panels": found,
        "x": "step",
        "temperature": TEMPERATURE,
    }
    text = (
        "Every curve of the logs; a run has one color everywhere. Below, what the checkpoints say "
        f"after the prompt. Book section 2.2; the log is written by `{source_of(read)}`."
    )
    return [Figure("runs", "The run, from its log", text, data)]
