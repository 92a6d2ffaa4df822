"""What a page is about: a run or published weights, a prompt, an expression, a seed.

Every figure is made from this one object, by a function figures(at_hand) -> list of Figure. One
that cannot be made from it raises Unsuitable with the reason. Read next: reading.py (how the model
reads the prompt), expression.py (the first figure).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylm.data.batches.tokenfile import TokenFile
from tinylm.errors import ConfigError
from tinylm.explore.reading import (
    HIDDEN,
    Reading,
    decoder_ids,
    encoder_ids,
    part_of,
    source_ids,
    written,
)
from tinylm.explore.values import tokens_of
from tinylm.models import GPT
from tinylm.models.encoder.encoder import Encoder
from tinylm.models.encoder.seq2seq import Seq2Seq
from tinylm.nn import Module

PUBLISHED_PROMPT = "The capital of Japan is"
OWN, WORDS = 200, 8  # tokens that are looked at, and words that are taken of them


class Unsuitable(ConfigError):
    """A figure that the thing at hand does not allow; the message says why."""


@dataclass(frozen=True)
class OpenedModel:
    """A model with its tokenizer.

    model      in evaluation mode
    tokenizer  of its ids
    config     TrainConfig, or None for published weights
    begin      ids before every text of a decoder
    ends       ids that end what a decoder writes
    special    Special of a run's vocabulary, or None
    """

    model: Module
    tokenizer: object
    config: object
    begin: tuple
    ends: tuple
    special: object

    def special_id(self, field: str, name: str) -> int | None:
        """The id of a run's special token by the field of Special, of another by its name."""
        if self.special is not None:
            return getattr(self.special, field)
        return self.tokenizer.special.get(name)

    @property
    def hides(self) -> bool:
        """True if a prompt may have [MASK]."""
        part = part_of(self.model)
        if isinstance(part, Encoder):
            return self.special_id("mask", HIDDEN) is not None
        return part is not None and not isinstance(part, GPT) and self.sentinels[0] is not None

    @property
    def sentinels(self) -> list:
        """Ids that stand for hidden spans: 100 at least, None where there is none."""
        if self.special is not None:
            found = list(self.special.sentinels)
        else:
            named = self.tokenizer.special
            found = [named.get(f"<extra_id_{n}>", named.get("<mask>")) for n in range(100)]
        return found + [None] * 100

    @functools.cached_property
    def names(self) -> dict:
        """{id: name} of the special ids beyond those of the tokenizer, such as [MASK]."""
        if self.special is None:
            return {}
        fields = vars(self.special)
        found = {
            value: f"[{name.upper()}]"
            for name, value in fields.items()
            if isinstance(value, int) and name != "vocab_size"
        }
        found |= {value: f"[X{n}]" for n, value in enumerate(self.special.sentinels)}
        return {i: name for i, name in found.items() if i >= self.tokenizer.vocab_size}


@dataclass(frozen=True)
class AtHand:
    """What is looked at. A model is opened when a figure first asks for it.

    name        directory of a run, or published weights such as smollm2; "" for none
    prompt      the text that the model reads; "" for a few words of the run's own text
    expression  of the figure of gradients
    arrays      {name: value} of that expression's arrays, as text; others are drawn
    seed        of everything that is drawn
    layers      which layers of a large model the figures keep; () lets them choose
    compare     directories of further runs, whose logs are shown beside this one's
    """

    name: str = ""
    prompt: str = ""
    expression: str = ""
    arrays: tuple[str, ...] = ()
    seed: int = 0
    layers: tuple[int, ...] = ()
    compare: tuple[str, ...] = ()

    def run(self) -> Path:
        """The directory of the run. Raises Unsuitable if what is at hand is no run."""
        if not self.name or not Path(self.name).is_dir():
            raise Unsuitable("needs the directory of a run of `tinylm train`")
        return Path(self.name)

    @property
    def opened(self) -> OpenedModel:
        """The model that is looked at.

        raises  Unsuitable if no run was named; TinylmError if it cannot be read
        """
        if not self.name:
            raise Unsuitable("needs a run or published weights: tinylm explore RUN")
        return opened_model(self.name)

    model = property(lambda self: self.opened.model)
    tokenizer = property(lambda self: self.opened.tokenizer)

    @functools.cached_property
    def reading(self) -> Reading:
        """What the model reads for the prompt.

        raises  Unsuitable for a kind of model that reads in another way; DataError for no token
        """
        opened = self.opened
        model = part_of(opened.model)
        if model is None:
            kind = type(opened.model).__name__
            raise Unsuitable(f"a model of kind {kind} reads in an order of its own")
        none = np.zeros(0, np.int64)
        if isinstance(model, GPT):
            return Reading("decoder", model, decoder_ids(opened, self.text), None, none)
        if isinstance(model, Encoder):
            ids = encoder_ids(opened, self.text)
            hidden = np.flatnonzero(ids == opened.special_id("mask", HIDDEN))
            # A prefix LM is an encoder that has read its whole prefix, and predicts what follows.
            ahead = opened.config is not None and opened.config.recipe.shifted
            return Reading("encoder", model, ids, None, hidden, ahead)
        assert isinstance(model, Seq2Seq)  # the last of the kinds
        ids = source_ids(opened, self.text)
        return Reading("encoder-decoder", model, ids, written(model, ids, opened.ends), none)

    @functools.cached_property
    def text(self) -> str:
        """The prompt, or a few words of the run's validation text; "" where there is none."""
        if self.prompt or not self.name:
            return self.prompt
        return own_words(Path(self.name), self.opened) or PUBLISHED_PROMPT

    def tokens(self, ids: Sequence[int] | np.ndarray) -> list[dict]:
        """Token ids as a page shows them (values.token)."""
        return tokens_of(ids, self.tokenizer, self.opened.names)


def own_words(run: Path, opened: OpenedModel) -> str:
    """The first few words of a run's validation text, the last but one hidden for an encoder; ""
    if it has no text any more.
    """
    for file in ("val.bin", "train.bin"):
        path = run / "data" / file
        if path.is_file():
            ids = np.asarray(TokenFile.open(path).tokens[:OWN])
            ids = ids[ids < opened.tokenizer.vocab_size]  # without [SEP] of pairs
            words = opened.tokenizer.decode(ids).split("\ufffd")[0].split()[1 : 1 + WORDS]
            if len(words) > 2 and opened.hides:
                words[-2] = HIDDEN
            return " ".join(words)
    return ""


@functools.lru_cache(maxsize=1)
def opened_model(name: str) -> OpenedModel:
    """A run or published weights of any kind; kept, since a page that is served asks again.

    raises  TinylmError if there is none, or no tokenizer beside it
    """
    from tinylm.prompt.protocol.opened import check_there, is_published

    check_there(name)
    if is_published(name):
        from tinylm.finetune.export.folder import prompt_begin
        from tinylm.models.published.load import load_pretrained

        found = load_pretrained(name)
        if found.tokenizer is None:
            raise ConfigError(f"{name} has no tokenizer beside it, so no text can be read")
        begin = found.begin or prompt_begin(found.path)
        ends = tuple({found.special.get("eos"), *found.ends} - {None})
        return OpenedModel(found.model.eval(), found.tokenizer, None, begin, ends, None)
    from tinylm.finetune.instruct.saved import template_of_run
    from tinylm.train import load_run

    model, tokenizer, config = load_run(name)
    end = tokenizer.special.get("<|endoftext|>")
    begin = () if end is None or template_of_run(name) else (end,)
    special = config.special(tokenizer.vocab_size)
    ends = tuple({end, special.end} - {None})
    return OpenedModel(model, tokenizer, config, begin, ends, special)
