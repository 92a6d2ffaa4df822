"""The README.md of an exported run: what it learnt from, how well, and how it is opened.

Every figure is the run's own: of its configuration and its log. Read first: run.py.
"""

import math
from pathlib import Path

from tinylm.errors import TinylmError
from tinylm.pretrain.objectives import DECODER, SEQ2SEQ
from tinylm.train import checkpoint as checkpoints
from tinylm.train.log import NAME, read
from tinylm.train.run.saved import fields_of

_CLASSES = {DECODER: "AutoModelForCausalLM", SEQ2SEQ: "AutoModelForSeq2SeqLM"}


def card(opened):
    """The text of the card.

    opened   Opened of run.py
    """
    class_ = opened.described["architectures"][0]
    lines = [
        "---",
        "library_name: transformers",
        "tags: [tinylm]",
        "---",
        "",
        f"# {_plain(checkpoints.find(opened.path)[0].resolve().name)}",
        "",
        f"A `{class_}` that tinylm trained and exported.",
        "",
        *_table(opened),
        "",
        *opened.notes,
        *[""] * bool(opened.notes),
        *_usage(opened),
    ]
    return "\n".join(lines)


def _table(opened):
    config, c = opened.config, opened.model.config
    tuned = "finetune" in fields_of(checkpoints.load(opened.path, files=()))
    data = ", ".join(config.data) or ("" if tuned else "the English in Python's own help")
    rows = {
        "objective": opened.config.recipe.name,
        **({"data": data} if data else {}),  # a published model does not say what it learnt from
        "parameters": f"{opened.model.count_parameters():,}",
        "layers, heads, width": f"{c.n_layer}, {c.n_head}, {c.d_model}",
        "vocabulary": f"{c.vocab_size:,}",
        "context": "any length" if opened.context is None else f"{opened.context:,} tokens",
        **_training(opened),
    }
    return [
        "| | |",
        "|---|---|",
        *(f"| {name} | {_plain(value)} |" for name, value in rows.items()),
    ]


def _training(opened):
    """What the checkpoint and the log tell of the training."""
    saved = fields_of(checkpoints.load(opened.path, files=()))
    tuned = saved.object("finetune").values if "finetune" in saved else {}
    if tuned:
        rows = {"tuned from": tuned.get("run"), "tuned on": _listed(tuned.get("data"))}
        rows |= {"steps": tuned.get("steps"), "held back before": tuned.get("held_back_before")}
        rows |= {"held back after": tuned.get("held_back_after")}
        return {name: _number(value) for name, value in rows.items() if value is not None}
    step = saved.object("trainer").integer("step") if "trainer" in saved else None
    rows = {} if step is None else {"steps": f"{step:,}"}
    rows["batch"] = f"{opened.config.batch_size} x {opened.config.context} tokens"
    return rows | _losses(opened, step)


def _losses(opened, step):
    """Losses of the log at the step of the checkpoint: {} where there is no log."""
    run = checkpoints.find(opened.path)[0]
    if step is None or not (Path(run) / NAME).is_file():
        return {}
    try:
        events = read(run)
    except (OSError, TinylmError):
        return {}
    at = [one for one in events if one["event"] in ("step", "validation") and one["step"] <= step]
    last = {one["event"]: one for one in at}
    rows = {}
    if last.get("step", {}).get("loss") is not None:
        rows["training loss"] = f"{last['step']['loss']:.4f} nats, of the last step"
    found = last.get("validation", {})
    if found.get("loss") is not None:
        rows["validation loss"] = f"{found['loss']:.4f} nats, at step {found['step']:,}"
    if found.get("perplexity") is not None:
        rows["validation perplexity"] = f"{found['perplexity']:.3f}"
    if found.get("bits_per_byte") is not None:
        rows["bits per byte"] = f"{found['bits_per_byte']:.4f}"
    return rows


def _usage(opened):
    """How the folder is opened, by transformers and here."""
    class_ = _CLASSES.get(opened.config.recipe.architecture, opened.described["architectures"][0])
    verb = "chat" if opened.template is not None else "generate"
    decodes = opened.config.recipe.architecture == DECODER
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
        *["```sh", f"tinylm {verb} FOLDER", "tinylm eval FOLDER --data FILE", "```", ""] * decodes,
        "```python",
        "from tinylm.models.published.load import load_pretrained",
        "",
        'published = load_pretrained("FOLDER")      # .model, .tokenizer',
        "```",
        "",
    ]


def _plain(text):
    """A text in one line of a table."""
    return " ".join(str(text).replace("|", "\\|").split())


def _listed(value):
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value


def _number(value):
    if isinstance(value, float):
        if math.isfinite(value):
            return f"{value:.4f} nats per answer token"
        return str(value)
    return value
