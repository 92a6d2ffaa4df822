"""`tinylm eval` of published weights, or of an export of `tinylm export`.

A text is cut into windows of the context, and every token but the first is predicted; if the model
expects ids before a text, such as <s>, the first as well. Read first: eval.py.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tinylm.cli.learn.eval import EvalConfig
    from tinylm.reading import BadLines
    from tinylm.tokenizers.byte import ByteTokenizer


LONGEST = 1024  # tokens of a window: attention costs their square, and memory that of all logits
LOGITS = 1 << 25  # of a batch: 128 MiB


def score_published(
    name: str, config: "EvalConfig", data: Sequence[str], aside: str | Path, bad: "BadLines | None"
) -> dict[str, Any]:
    """The scores of published weights on a text.

    name     as load_pretrained takes it
    config   EvalConfig;  data  files, folders, patterns
    aside    folder for the tokens of the text
    bad      BadLines
    returns  dict, as eval.py prints it
    raises   ConfigError for a model that predicts no next token; DataError without a text
    """
    from tinylm.data import EvenWindows, prepare
    from tinylm.data.read.text import stream_documents
    from tinylm.models import GPT
    from tinylm.models.published.load import load_pretrained
    from tinylm.pretrain import CausalLM
    from tinylm.train import evaluate, perplexity_of_loss
    from tinylm.train.evaluation import bits_per_byte

    if not data:
        raise DataError(f"{name} has no text of its own: give one with --data FILE")
    found = load_pretrained(name)
    if not isinstance(found.model, GPT):
        raise ConfigError(
            f"{name} is of type {type(found.model).__name__}, which gives no probability of a "
            "text; only decoders, such as GPT-2 or LLaMA, can be scored"
        )
    if found.tokenizer is None:
        raise ConfigError(
            f"{name} has no tokenizer beside it: tokenizer.json, tokenizer.model, ..."
        )
    words = Beginning(found.tokenizer, found.begin)
    text = prepare(stream_documents(data, bad=bad), words, aside, val_fraction=0).train
    nbytes = prepared_bytes(aside)
    context = min(found.model.config.context or LONGEST, LONGEST)
    rows = EvenWindows(text.tokens, context)  # (b, context + 1) side by side
    logits = context * found.model.config.vocab_size  # numbers of a row's logits, T V
    batch_size = config.batch_size or max(1, LOGITS // logits)
    model = found.model.to(config.device)
    loss, count = evaluate(model, CausalLM(), rows, batch_size, device=config.device)
    # The ids in front of documents are no tokens of the text.
    written = len(text.tokens) - len(found.begin) * len(text.documents)
    return {
        "run": str(name),
        "data": ", ".join(map(str, data)),
        "objective": "causal",
        "counted": "tokens",
        "tokens": count,
        "loss": loss,
        "perplexity": perplexity_of_loss(loss),
        "bits_per_byte": bits_per_byte(loss, written, nbytes),
    }


def prepared_bytes(folder: str | Path) -> int:
    """The bytes of the text that `prepare` encoded into the folder."""
    from tinylm.data import Prepared

    return Prepared.open(folder).meta["train"]["bytes"]


class Beginning:
    """A tokenizer with ids before every document, as `prepare` takes one."""

    def __init__(self, tokenizer: "ByteTokenizer", begin: tuple[int, ...]) -> None:
        self.tokenizer, self.begin = tokenizer, begin
        self.vocab_size, self.special = tokenizer.vocab_size, tokenizer.special

    def encode_stream(self, chunks: Sequence[str]) -> Iterator[np.ndarray]:
        """Chunks of a document -> (t,) integer arrays."""
        if self.begin:
            yield np.array(self.begin, np.int32)
        yield from self.tokenizer.encode_stream(chunks)
