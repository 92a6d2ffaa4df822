"""Vectors of sentences: hidden states averaged over the tokens   (Reimers & Gurevych 2019).

The angle between the vectors of two sentences of similar meaning is small. `tinylm embed` shows it
with published weights. Read next: encoder/encoder.py.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinylm.autograd import no_grad
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.backend import DType
from tinylm.errors import CheckpointError, ConfigError
from tinylm.files import read_json
from tinylm.models.encoder.encoder import Encoder
from tinylm.models.published.formats.found import find_weights
from tinylm.models.published.load import load_pretrained
from tinylm.tokenizers.base import Tokenizer


def mean_of_tokens(h: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean of the hidden states of the tokens, without padding.

    h        (B, T, D) array;  mask (B, T) bool, True for tokens
    returns  (B, D)
    """
    mask = bool_mask(mask, "mean_of_tokens", bias=None)[..., None]  # (B, T, 1)
    # At least 1, so that a row of padding alone gives zeros and not NaN.
    count = np.maximum(np.sum(mask, axis=1), 1).astype(h.dtype)  # (B, 1)
    # where, not a product: padding may hold infinities.  (B, T, D) -> (B, D)
    return np.sum(np.where(mask, h, 0), axis=1) / count


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1 in the same directions: (..., D) -> (..., D)."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


class SentenceEncoder:
    """Turns texts into vectors of length 1.

    encoder    Encoder, put into evaluation mode
    tokenizer  with `framed`, as those of published models have
    pad        id that fills rows; None: the tokenizer's [PAD]
    limit      most tokens of a text, [CLS] and [SEP] among them; the rest is not read
    """

    def __init__(
        self, encoder: Encoder, tokenizer: Tokenizer, limit: int = 256, pad: int | None = None
    ) -> None:
        self.encoder, self.tokenizer = encoder.eval(), tokenizer
        self.limit = min(limit, encoder.config.context)
        self.pad = pad
        if pad is None:
            self.pad = tokenizer.special["[PAD]"]

    def batch(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and mask of several texts, padded at their ends: (B, T) int64, (B, T) bool."""
        rows = [self.tokenizer.framed(text, limit=self.limit)[0] for text in texts]
        ids = np.full((len(rows), max(map(len, rows))), self.pad, np.int64)
        for row, line in zip(ids, rows):
            row[: len(line)] = line
        lengths = np.array([len(line) for line in rows])
        return ids, np.arange(ids.shape[1]) < lengths[:, None]  # (T,) < (B, 1) -> (B, T)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of a list of texts, (B, D); the dot product of two is their cosine.

        raises  ConfigError without a text
        """
        if not texts:
            raise ConfigError("SentenceEncoder: no text to embed: give at least one")
        ids, mask = self.batch(texts)
        with no_grad():
            h = self.encoder.hidden(ids, mask=mask).numpy()  # (B, T) -> (B, T, D)
        return unit(mean_of_tokens(h, mask))


def load_sentence_encoder(
    name: str | Path = "minilm", dtype: DType = np.float32
) -> SentenceEncoder:
    """Published weights as a SentenceEncoder.

    name     of formats.found.PUBLISHED, or a folder in Hugging Face's layout with a tokenizer
    returns  SentenceEncoder
    raises   MissingExtra with the pip command if they are not installed; CheckpointError if they
             are damaged; ConfigError if they are no encoder
    """
    folder = Path(find_weights(name))
    published = load_pretrained(folder, dtype)
    encoder, tokenizer = published.model, published.tokenizer
    if not isinstance(encoder, Encoder):
        raise ConfigError(
            f"{name!r} is a {type(encoder).__name__}, not an encoder; `minilm` is one"
        )
    if tokenizer is None or not hasattr(tokenizer, "framed"):
        raise ConfigError(
            f"{name!r} is no encoder of sentences: {folder} holds no tokenizer.json or "
            "vocab.txt; `minilm` is one"
        )
    # Trained with a shorter limit than the encoder's context: longer texts are cut as in training.
    limit = _setting(folder / "sentence_bert_config.json", "max_seq_length", int)
    limit = limit or encoder.config.context
    return SentenceEncoder(encoder, tokenizer, limit, published.special.get("pad", 0))


def _setting(path, name, kind):
    """A setting of a JSON file; None if the file or the setting is missing."""
    if not path.is_file():
        return None
    try:
        described = read_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not isinstance(described, dict):
        raise CheckpointError(f"{path} is no JSON object")
    value = described.get(name)
    if value is not None and type(value) is not kind:
        raise CheckpointError(f"{path}: {name} is {value!r:.60}; it must be {kind.__name__}")
    return value
