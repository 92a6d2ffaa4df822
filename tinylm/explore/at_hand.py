"""What a page is about: a run or published weights, a prompt, an expression, a seed.

Every figure is made from this one object, by a function figures(at_hand) -> list of Figure. One
that cannot be made from it raises Unsuitable with the reason. Read next: expression.py.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.explore.values import tokens_of


class Unsuitable(ConfigError):
    """A figure that the thing at hand does not allow; the message says why."""


@dataclass(frozen=True)
class AtHand:
    """What is looked at. A model is opened when a figure first asks for it.

    name        directory of a run, or published weights such as smollm2; "" for none
    prompt      the text that the model reads
    expression  of the figure of gradients
    arrays      {name: value} of that expression's arrays, as text; others are drawn
    seed        of everything that is drawn
    layers      which layers of a large model the figures keep; () lets them choose
    """

    name: str = ""
    prompt: str = ""
    expression: str = ""
    arrays: tuple[str, ...] = ()
    seed: int = 0
    layers: tuple[int, ...] = ()

    def run(self) -> Path:
        """The directory of the run. Raises Unsuitable if what is at hand is no run."""
        if not self.name or not Path(self.name).is_dir():
            raise Unsuitable("needs the directory of a run of `tinylm train`")
        return Path(self.name)

    @functools.cached_property
    def opened(self) -> tuple:
        """(model in evaluation mode, tokenizer, TrainConfig or None for published weights).

        raises  Unsuitable if no run was named; TinylmError if it cannot be read
        """
        if not self.name:
            raise Unsuitable("needs a run or published weights: tinylm explore RUN")
        from tinylm.prompt.protocol.opened import check_there, is_published

        check_there(self.name)
        if is_published(self.name):
            from tinylm.models.published.load import load_pretrained

            found = load_pretrained(self.name)
            if found.tokenizer is None:
                raise ConfigError(f"{self.name} has no tokenizer beside it")
            return found.model.eval(), found.tokenizer, None
        from tinylm.train import load_run

        return load_run(self.name)

    model = property(lambda self: self.opened[0])
    tokenizer = property(lambda self: self.opened[1])

    @functools.cached_property
    def special_names(self) -> dict:
        """{id: name} of the special ids beyond those of the tokenizer, such as [MASK]."""
        _, tokenizer, config = self.opened
        if config is None:
            return {}
        fields = vars(config.special(tokenizer.vocab_size))
        return {
            value: f"[{name.upper()}]"
            for name, value in fields.items()
            if isinstance(value, int) and name != "vocab_size" and value >= tokenizer.vocab_size
        }

    @functools.cached_property
    def ids(self) -> np.ndarray:
        """(T,) ids of the prompt. Raises DataError if it has none."""
        if not self.prompt:
            raise DataError('needs a prompt: --prompt "To be or not"')
        return np.asarray(self.tokenizer.encode(self.prompt), np.int64)

    def tokens(self, ids: np.ndarray) -> list[dict]:
        """Token ids as a page shows them (values.token)."""
        return tokens_of(ids, self.tokenizer, self.special_names)
