"""Settings that all commands share which tune a model: `tinylm finetune` and `tinylm align`.

Every field has its default, its help text and its check; the command line is made from them
(cli/options.py). Read next: align/run/settings.py.
"""

from dataclasses import dataclass

from tinylm.settings import above, at_least, between, named_in_utf8, setting


@dataclass(frozen=True)
class RunSettings:
    """Settings of every run that tunes a model, those of `tinylm finetune` included."""

    data: tuple[str, ...] = setting(
        help="what is learnt from: files of JSON lines, a JSON list, or a table (.csv, .tsv) whose "
        "first line names its columns; may be .gz, folders, patterns",
        check=named_in_utf8,
        several=True,
    )
    skip_bad: bool = setting(False, "leave out lines that cannot be read, and count them")
    val_fraction: float = setting(
        0.1, "part of the examples kept for validation; 0: none", between(0, 0.9)
    )
    warmup: float = setting(
        0.1, "share of the updates that warm up, before a linear decay to 0", between(0, 1)
    )
    lora: int = setting(
        0,
        "rank of the low-rank updates that are trained instead of the matrices, and merged into "
        "them at the end; 0: train all weights",
        at_least(0),
    )
    lora_alpha: float | None = setting(
        None, "low-rank updates are scaled by alpha / rank; none: twice the rank", above(0)
    )
    template: str = setting(
        "",
        "how conversations are written: roles, chatml, llama3, gemma, llama2, mistral, zephyr; "
        "none: as the model was tuned before, or roles",
    )
    device: str = setting("cpu", "cpu or gpu")
    out: str = setting("", "directory of the result; none: beside RUN, or in runs/", named_in_utf8)


@dataclass(frozen=True)
class UpdateSettings:
    """Settings of updates on examples of a file; methods that learn from a reward have others."""

    steps: int | None = setting(None, "updates; none: as many as the epochs need", at_least(1))
    batch_size: int = setting(16, "examples (with --pack: rows) of a batch", at_least(1))
    micro_batch: int = setting(
        0, "of a batch, differentiated at a time; 0: all. Fewer need less memory", at_least(0)
    )
    checkpointing: bool = setting(
        False,
        "keep only the inputs of blocks for the backward pass, and compute the rest again: less "
        "memory, a third more operations",
    )
    weight_decay: float = setting(0.01, "of matrices", at_least(0))
    clip: float = setting(1.0, "largest gradient norm; 0: no clipping", at_least(0))
    seed: int = setting(1337, "seed of the order of examples, the split, and new weights")
