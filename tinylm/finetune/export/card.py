"""The README.md of an exported run: its data, its losses, and how it is loaded.

All figures come from the run's configuration and log. Read first: run.py.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from tinylm.errors import TinylmError
from tinylm.pretrain.objectives import DECODER, SEQ2SEQ
from tinylm.train import checkpoint as checkpoints
from tinylm.train.log import NAME, read
from tinylm.train.run.saved import fields_of

if TYPE_CHECKING:
    from tinylm.finetune.export.run import Opened


_CLASSES = {DECODER: "AutoModelForCausalLM", SEQ2SEQ: "AutoModelForSeq2SeqLM"}


def card(opened: "Opened") -> str:
    """The text of README.md.

    opened   Opened of run.py
    """
    notes = []
    if opened.notes:
        notes = [*opened.notes, ""]
    class_ = opened.described["architectures"][0]
    lines = [
        "---",
        "library_name: transformers",
        "tags: [tinylm]",
        "---",
        "",
        f"# {_plain(checkpoints.find_run(opened.path)[0].resolve().name)}",
        "",
        f"A `{class_}` that tinylm trained and exported.",
        "",
        *_table(opened),
        "",
        *notes,
        *_usage(opened),
    ]
    return "\n".join(lines)


def _table(opened):
    """The lines of a Markdown table of settings and results."""
    config, c = opened.config, opened.model.config
    rows = {"objective": config.recipe.name}
    data = ", ".join(config.data)
    tuned = "finetune" in fields_of(checkpoints.load(opened.path, files=()))
    if not data and not tuned:  # the default text of `tinylm train`
        data = "the English in Python's own help"
    if data:  # of a published model that was tuned the data are unknown
        rows["data"] = data
    rows["parameters"] = f"{opened.model.count_parameters():,}"
    rows["layers, heads, width"] = f"{c.n_layer}, {c.n_head}, {c.d_model}"
    rows["vocabulary"] = f"{c.vocab_size:,}"
    rows["context"] = "any length"
    if opened.context is not None:
        rows["context"] = f"{opened.context:,} tokens"
    rows |= _training(opened)
    lines = [f"| {name} | {_plain(value)} |" for name, value in rows.items()]
    return ["| | |", "|---|---|", *lines]


def _training(opened):
    """Rows on the training, from the checkpoint and the log."""
    saved = fields_of(checkpoints.load(opened.path, files=()))
    tuned = {}
    if "finetune" in saved:
        tuned = saved.object("finetune").values
    if tuned:
        rows = {
            "tuned by": tuned.get("method"),
            "tuned from": tuned.get("run"),
            "tuned on": _listed(tuned.get("data")),
            "steps": tuned.get("steps"),
            "held back before": tuned.get("held_back_before"),
            "held back after": tuned.get("held_back_after"),
        }
        return {name: _number(value) for name, value in rows.items() if value is not None}
    rows, step = {}, None
    if "trainer" in saved:
        step = saved.object("trainer").integer("step")
        rows["steps"] = f"{step:,}"
    rows["batch"] = f"{opened.config.batch_size} x {opened.config.context} tokens"
    return rows | _losses(opened, step)


def _losses(opened, step):
    """Rows of the losses in the log, the last up to the checkpoint's step; {} without a log."""
    run = checkpoints.find_run(opened.path)[0]
    if step is None or not (Path(run) / NAME).is_file():
        return {}
    try:
        events = read(run)
    except (OSError, TinylmError):
        return {}
    # A run may have been continued beyond the exported checkpoint: later events do not count.
    last = {"step": {}, "validation": {}}
    for event in events:
        if event["event"] in last and event["step"] <= step:
            last[event["event"]] = event
    rows, validation = {}, last["validation"]
    if last["step"].get("loss") is not None:
        rows["training loss"] = f"{last['step']['loss']:.4f} nats, of the last step"
    if validation.get("loss") is not None:
        where = f"at step {validation['step']:,}"
        rows["validation loss"] = f"{validation['loss']:.4f} nats, {where}"
    if validation.get("perplexity") is not None:
        rows["validation perplexity"] = f"{validation['perplexity']:.3f}"
    if validation.get("bits_per_byte") is not None:
        rows["bits per byte"] = f"{validation['bits_per_byte']:.4f}"
    return rows


def _usage(opened):
    """Lines on how the folder is loaded, by transformers and here."""
    architecture = opened.config.recipe.architecture
    class_ = _CLASSES.get(architecture, opened.described["architectures"][0])
    commands = []
    if architecture == DECODER:
        verb = "generate"
        if opened.template is not None:
            verb = "chat"
        commands = ["```sh", f"tinylm {verb} FOLDER", "tinylm eval FOLDER --data FILE", "```", ""]
    return [
        "In transformers:",
        "",
        "```python",
        f"from transformers import AutoTokenizer, {class_}",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
        f'model = {class_}.from_pretrained("FOLDER")',
        "```",
        "",
        "In tinylm:",
        "",
        *commands,
        "```python",
        "from tinylm.models.published.load import load_pretrained",
        "",
        'published = load_pretrained("FOLDER")      # .model, .tokenizer',
        "```",
        "",
    ]


def _plain(text):
    """A text as a cell of a Markdown table: one line, bars escaped."""
    return " ".join(str(text).replace("|", "\\|").split())


def _listed(value):
    """The items of a list, joined; any other value as it is."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value


def _number(value):
    """A loss with its unit; any other value as it is."""
    if isinstance(value, float):
        if math.isfinite(value):
            return f"{value:.4f} nats per answer token"
        return str(value)
    return value
