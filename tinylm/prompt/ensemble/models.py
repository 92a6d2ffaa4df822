"""Several models, one prompt: their next-token distributions are averaged, or they vote   (book
section 3.2.4, Fig. 3.2a).

The average is again a language model, with a cache for each member, so that everything that runs
on a model runs on it: sampling, beams, scoring, prompting. It needs one vocabulary for all. A vote
over answers needs nothing in common but the question. Read next: prompts.py.
"""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm import backend
from tinylm.backend import ArrayLike
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.generate.protocol.language_model import LanguageModel, as_language_model
from tinylm.generate.protocol.score import log_probabilities
from tinylm.prompt.answer import Answer
from tinylm.prompt.ensemble.combine import item_key, vote
from tinylm.prompt.ensemble.means import arithmetic_mean, check_weights
from tinylm.prompt.protocol import TextLM, TextModel


class EnsembleCache:
    """A cache for each member, all at the same length."""

    def __init__(self, caches: Sequence) -> None:
        self.caches = list(caches)

    @property
    def length(self) -> int:
        """Columns read so far."""
        return self.caches[0].length

    @property
    def padding(self) -> np.ndarray | None:
        """Leading columns of each row that are no tokens, or None."""
        return self.caches[0].padding

    def crop(self, length: int) -> None:
        """Forget all columns from `length` on."""
        for cache in self.caches:
            cache.crop(length)

    def select(self, rows: ArrayLike) -> None:
        """Keep the given rows, in the given order."""
        rows = [int(row) for row in rows]
        for cache in self.caches:
            cache.select(rows)

    def __copy__(self) -> "EnsembleCache":
        # copy.copy of a single cache shares its arrays until one of the two changes; so do these.
        return EnsembleCache([copy.copy(cache) for cache in self.caches])


class EnsembleLM:
    """The average of several language models over one vocabulary, with their protocol.

    lms      models of tinylm.models, or language models (generate/protocol/language_model.py)
    weights  of the members, 0 or more; equal unless given
    mean     arithmetic_mean or geometric_mean (means.py)
    raises   ConfigError without members, or for vocabularies of different sizes

    Its context is the shortest; its logits are log-probabilities.
    """

    def __init__(
        self,
        lms: Sequence[LanguageModel],
        weights: tuple[float, ...] | None = None,
        mean: Callable = arithmetic_mean,
    ) -> None:
        self.lms = [as_language_model(lm) for lm in lms]
        if not self.lms:
            raise ConfigError("EnsembleLM: an ensemble needs at least one model")
        # The same size is necessary, not sufficient: check_same_tokenizer compares the tokens.
        sizes = [lm.vocab_size for lm in self.lms]
        if len(set(sizes)) > 1:
            raise ConfigError(
                f"EnsembleLM: the vocabularies have {sizes} tokens; distributions are averaged "
                "token by token, so they must be the same"
            )
        self.weights, self.mean = check_weights(weights, len(self.lms)), mean
        self.vocab_size = sizes[0]
        contexts = [lm.context for lm in self.lms if lm.context is not None]
        self.context = min(contexts, default=None)

    def new_cache(self, batch: int = 1, padding: np.ndarray | None = None) -> EnsembleCache:
        """An empty EnsembleCache for B rows."""
        return EnsembleCache([lm.new_cache(batch, padding) for lm in self.lms])

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """log Pr of the next token after each of `tokens`: (B, T) -> (B, T, V)."""
        return self._averaged("logits", tokens, cache)

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """log Pr of the token after the last of `tokens`: (B, T) -> (B, V)."""
        return self._averaged("next_logits", tokens, cache)

    def _averaged(self, name, tokens, cache):
        # Each member reads the same tokens into a cache of its own, and may be of another shape.
        caches = [None] * len(self.lms)
        if cache is not None:
            caches = cache.caches
        logs = []
        for lm, one in zip(self.lms, caches):
            logs.append(log_probabilities(backend.to_cpu(getattr(lm, name)(tokens, one))))
        return self.mean(np.stack(logs), self.weights)  # (M, B, .., V) -> (B, .., V)


def check_same_tokenizer(models: Sequence[TextModel]) -> None:
    """Raise ConfigError unless all TextModels encode a prompt into the same ids.

    Compared are the tokenizers' descriptions, the chat template, the ids that begin and end a text,
    and how the prompt is put.
    """
    first = models[0]
    for number, model in enumerate(models[1:], 2):
        a, b = first.tokenizer, model.tokenizer
        # Equal descriptions: the same tokens, merges and special tokens.
        same = a is b or (a.vocab_size == b.vocab_size and a.to_dict() == b.to_dict())
        if not same:
            raise ConfigError(
                f"model {number} of the ensemble has another tokenizer than the first "
                f"({b.vocab_size} and {a.vocab_size} tokens): vote on their answers instead"
            )
        for name in ("begin", "ends", "template"):
            if getattr(model.opened, name) != getattr(first.opened, name):
                raise ConfigError(f"model {number} of the ensemble has another `{name}`")
        if (model.chat, model.system) != (first.chat, first.system):
            raise ConfigError(f"model {number} of the ensemble reads prompts in another form")


class ModelEnsemble(TextLM):
    """A TextLM whose next-token distribution is the average of those of several TextModels.

    models   TextModels with one tokenizer, all chat models or none
    weights  of the models; equal unless given
    mean     arithmetic_mean or geometric_mean
    raises   ConfigError as check_same_tokenizer and EnsembleLM

    `whole` is the TextModel of the average. The account counts what all members read and write.
    """

    def __init__(
        self,
        models: Sequence[TextModel],
        weights: tuple[float, ...] | None = None,
        mean: Callable = arithmetic_mean,
    ) -> None:
        super().__init__()
        models = list(models)
        lm = EnsembleLM([model.lm for model in models], weights, mean)
        check_same_tokenizer(models)
        first = models[0]
        # All that concerns tokens and templates is the first member's: it is the same for all.
        opened = dataclasses.replace(first.opened, lm=lm)
        self.members = len(models)
        self.whole = TextModel(opened, first.chat, first.system, first.batch_size)
        self.tokenizer, self.context = first.tokenizer, lm.context

    @property
    def chat(self) -> bool:
        """True if a prompt is a user's turn, as for the members."""
        return self.whole.chat

    def raw(self) -> "ModelEnsemble":
        """The same average, which continues texts; account and trace are shared."""
        other = copy.copy(self)
        other.whole = self.whole.raw()
        return other

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self.whole.count(text)

    def token_texts(self, text: str) -> list[str]:
        """The tokens of a text as text, see TextLM."""
        return self.whole.token_texts(text)

    def length(self, prompt: str, begin: str = "") -> int:
        """Tokens of a prompt with all that is put around it."""
        return self.whole.length(prompt, begin)

    def _complete(self, prompts, begins, max_tokens, stop, seed, sampling):
        found = self._counted("_complete", prompts, begins, max_tokens, stop, seed, sampling)
        written = sum(len(reply.tokens) + reply.cut for reply in found)
        # complete_batch() counts the reply once; every member has read it.
        self.account.add(generated_tokens=(self.members - 1) * written)
        return found

    def _score(self, prompts, lists, begins):
        return self._counted("_score", prompts, lists, begins)

    def _counted(self, name, *arguments):
        """A call of the average, counted for every member."""
        before = self.whole.account.copy()
        found = getattr(self.whole, name)(*arguments)
        used = self.whole.account.since(before)
        for count in ("prompt_tokens", "read_tokens", "scored_tokens"):
            self.account.add(**{count: self.members * getattr(used, count)})
        return found


def check_text_model(name: str, lm: TextLM) -> None:
    """Raise ConfigError for a TextLM that does not show its next-token distributions."""
    if not isinstance(lm, TextModel):
        raise ConfigError(
            f"{name}: it works on distributions over tokens, which a {type(lm).__name__} does not "
            "show; give a TextModel (`whole` of a ModelEnsemble)"
        )


def model_vote(
    lms: Sequence,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    method: Callable,
    seed: int = 0,
    max_tokens: int = 64,
    weights: Sequence[int] | None = None,
    **options: Any,
) -> Answer:
    """The answer that most of several models give   (book section 3.2.4, Fig. 3.2a)

    lms      list of TextLM, with any tokenizers
    method   a prompting method, which each of them uses
    weights  of the models; equal unless given
    options  of the method
    returns  Answer; details: answers (one a model) and shares
    raises   ConfigError without models
    """
    if not lms:
        raise ConfigError("model_vote: give at least one model")
    # Only answers are compared, so the models may have nothing in common but the language.
    answers = [
        method(lm, item, demonstrations, seed=seed, max_tokens=max_tokens, **options) for lm in lms
    ]
    ballot = vote([answer.value for answer in answers], weights, item_key(item))
    details = {"answers": [answer.value for answer in answers], "shares": ballot.shares}
    return Answer(ballot.value, answers[-1].text, details)
