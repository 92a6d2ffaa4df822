"""Constrained decoding: only tokens that keep the text inside a formal language   (Willard and Louf
2023).

An automaton over bytes (a regular expression, or a set of strings as a trie) becomes one over
tokens: a token is allowed if its bytes lead from the present state to a live one. `ConstrainedLM`
gives all other tokens probability 0 and is again a language model, so sampling, beam search and
speculative decoding work under the constraint unchanged. The distribution is renormalized step by
step. That is not Pr(y | y in the language): a step does not account for the probability that its
continuations lose later. To rank a finite set of strings, score each (rerank.py). Read next:
rerank.py.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm import backend
from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.generate.loop import check_prompt, generate
from tinylm.generate.protocol.language_model import (
    Model,
    as_language_model,
    check_tokens,
)

if TYPE_CHECKING:
    from tinylm.generate.strategies.regular import Regular
    from tinylm.tokenizers.base import Tokenizer


ENDED = object()  # the state after the end token
NO_STRING = (
    "TokenAutomaton: no string of the language can be spelled with the tokens of this tokenizer"
)
# Limits on time and memory: a pattern of n places can have 2^n states, each with up to V tokens.
LISTED_STATES = 50_000  # where all states are listed at once
KEPT_TOKENS = 2_000_000  # (state, token) pairs held at a time


class StringSet:
    """A finite set of strings as an automaton over bytes: the trie of their prefixes.

    strings  str, or bytes, each; at least one
    """

    def __init__(self, strings: Iterable[str | bytes]) -> None:
        strings = list(strings)
        if not strings:
            raise ConfigError(
                "StringSet: no strings, so nothing could be generated; give at least one"
            )
        # A state is the number of a node: a prefix itself as the state would take memory that grows
        # with the square of the length.
        self.start = 0
        self._children = [{}]  # of each node: byte -> node
        self._whole = set()  # nodes at which a string ends
        for string in strings:
            self._add(string)

    def _add(self, string):
        data = string.encode("utf-8") if isinstance(string, str) else bytes(string)
        node = self.start
        for byte in data:
            if byte not in self._children[node]:
                self._children[node][byte] = len(self._children)
                self._children.append({})
            node = self._children[node][byte]
        self._whole.add(node)

    def step(self, state: Any, byte: int) -> int | None:
        """The state after one byte, or None."""
        return self._children[state].get(byte)

    def accepts(self, state: Any) -> bool:
        """True if the bytes so far are one of the strings."""
        return state in self._whole


class TokenAutomaton:
    """An automaton over bytes read token by token.

    automaton   has start, step(state, byte) -> state or None, accepts(state): Regular, StringSet
    tokenizer   has vocab_size and token_bytes(id)
    eos         id of the token that ends the text: allowed where the text is a whole string, and
                the only one allowed after itself
    raises      DataError if no string of the language can be spelled with these tokens

    With a token for every single byte, every live state has a continuation. Without, a token may
    lead to a state where no token fits ("1" towards "12" without a "2"): then all states are listed
    at once and such tokens are removed. More than LISTED_STATES states raise ConfigError.
    """

    def __init__(
        self,
        automaton: "StringSet | Regular",
        tokenizer: "Tokenizer",
        eos: int | Sequence[int] | None,
    ) -> None:
        if not 0 <= eos < tokenizer.vocab_size:
            raise ConfigError(
                f"TokenAutomaton: the end token {eos} is not in a vocabulary "
                f"of {tokenizer.vocab_size}"
            )
        self.automaton, self.eos, self.vocab_size = automaton, eos, tokenizer.vocab_size
        special = set(getattr(tokenizer, "special", {}).values()) | {eos}
        self._by_first, single = {}, set()  # first byte -> [(token, bytes)]
        for token in sorted(set(range(self.vocab_size)) - special):
            data = tokenizer.token_bytes(token)
            if data:  # a token without bytes could be repeated forever
                self._by_first.setdefault(data[0], []).append((token, data))
            if len(data) == 1:
                single.add(data)
        self.start = automaton.start
        self._following = {}  # state -> {token: state after it}
        self._kept = 0  # pairs in it
        self._forget = True  # drop all of it when there are too many
        if not self.following(self.start):
            raise DataError(NO_STRING)
        if len(single) < 256:
            self._remove_dead_ends()

    def following(self, state: Any) -> dict[int, Any]:
        """The tokens allowed in a state: dict from token to the state after it. Cached."""
        if state is ENDED:
            return {self.eos: ENDED}
        if state not in self._following:
            self._keep(state, self._computed(state))
        return self._following[state]

    def _computed(self, state):
        found = {}
        if self.automaton.accepts(state):
            found[self.eos] = ENDED
        # By first byte: most of the 256 lead nowhere, and then none of their tokens is tried.
        for byte, tokens in self._by_first.items():
            first = self.automaton.step(state, byte)
            if first is None:
                continue
            for token, data in tokens:
                after = first
                for byte in data[1:]:
                    after = self.automaton.step(after, byte)
                    if after is None:
                        break
                if after is not None:
                    found[token] = after
        return found

    def _keep(self, state, found):
        """Cache the tokens allowed in a state; clear the cache first if it holds too many."""
        if self._forget and self._kept > KEPT_TOKENS:
            self._following.clear()
            self._kept = 0
        self._following[state] = found
        self._kept += len(found)

    def _remove_dead_ends(self):
        """Remove tokens after which no string of the language can be completed."""
        self._forget = False  # from here on the cache is the automaton
        # Forwards: all states reached from the start, and for each the states before it.
        into, new, ending = {self.start: []}, [self.start], []
        while new:
            state = new.pop()
            for after in self.following(state).values():
                if after is ENDED:
                    ending.append(state)
                    continue
                if after not in into:
                    self._check_listed(len(into))
                    into[after] = []
                    new.append(after)
                into[after].append(state)
        # Backwards from the states that may end: a state is live if it leads to one of them.
        live = set()
        while ending:
            state = ending.pop()
            if state not in live:
                live.add(state)
                ending += into[state]
        if self.start not in live:
            raise DataError(NO_STRING)
        live.add(ENDED)
        self._following = {
            state: {token: after for token, after in self.following(state).items() if after in live}
            for state in live
        }

    def _check_listed(self, states):
        if states < LISTED_STATES and self._kept <= KEPT_TOKENS:
            return
        raise ConfigError(
            f"TokenAutomaton: the language has more than {LISTED_STATES:,} states or "
            f"{KEPT_TOKENS:,} tokens in them, the limits where the tokenizer lacks "
            "tokens for single bytes; lower the counts of the expression, or take "
            "a tokenizer with a token for every byte"
        )

    def mask(self, state: Any) -> np.ndarray:
        """(V,): 0 for allowed tokens, -inf for the others."""
        mask = np.full(self.vocab_size, -np.inf)
        mask[list(self.following(state))] = 0
        return mask


class ConstrainedCache:
    """The cache of the inner model, and the automaton's states of each row."""

    def __init__(self, inner: KeyValueCache, batch: int) -> None:
        self.inner = inner
        self.padding = None
        self.states = [[] for _ in range(batch)]  # states[b][t]: after column t of row b

    @property
    def length(self) -> int:
        """Columns read so far."""
        return self.inner.length

    def crop(self, length: int) -> None:
        """Forget all columns from `length` on."""
        self.inner.crop(length)
        self.states = [states[:length] for states in self.states]

    def select(self, rows: Sequence[int]) -> None:
        """Keep the given rows, in the given order."""
        self.inner.select(rows)
        self.states = [list(self.states[int(row)]) for row in rows]


class ConstrainedLM:
    """A language model that continues one prompt inside a language (protocol/language_model.py).

    lm         the inner model
    automaton  a TokenAutomaton
    prompt     (T,) integers, not constrained: the constraint begins after them. Prompt and text
               must fit the context
    """

    def __init__(self, lm: Model, automaton: TokenAutomaton, prompt: ArrayLike) -> None:
        self.lm, self.automaton = as_language_model(lm), automaton
        self.prompt = check_prompt(prompt, self.lm)
        self.vocab_size, self.context = self.lm.vocab_size, self.lm.context
        if automaton.vocab_size != self.vocab_size:
            raise ConfigError(
                f"ConstrainedLM: the tokenizer has {automaton.vocab_size} tokens, "
                f"the model {self.vocab_size}"
            )

    def new_cache(self, batch: int, padding: np.ndarray | None = None) -> ConstrainedCache:
        """An empty cache for B rows, without padding."""
        if padding is not None:
            raise ShapeError("ConstrainedLM continues one prompt, so no row is padded")
        return ConstrainedCache(self.lm.new_cache(batch), batch)

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores after each of `tokens`, -inf outside the language: (B, T) -> (B, T, V)."""
        tokens = check_tokens(tokens, self, cache)
        if cache is None:
            cache = self.new_cache(len(tokens))
        before = cache.length
        scores = np.array(backend.to_cpu(self.lm.logits(tokens, cache.inner)), np.float64)
        for b, row in enumerate(tokens.tolist()):
            for t, token in enumerate(row, before):
                cache.states[b].append(self._after(cache.states[b], t, token))
                # The prompt's last token is the first whose successor is constrained.
                if t >= len(self.prompt) - 1:
                    scores[b, t - before] += self.automaton.mask(cache.states[b][t])  # (V,)
        return scores

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores after the last of `tokens`: (B, T) -> (B, V)."""
        return self.logits(tokens, cache)[:, -1]

    def _after(self, states, t, token):
        """The state after column t."""
        if t < len(self.prompt):
            if token != self.prompt[t]:
                # A window that has moved on (loop.py) no longer begins with the prompt.
                raise ShapeError(
                    f"ConstrainedLM: column {t} is {token}, not the prompt's {self.prompt[t]}: "
                    f"prompt and text do not fit the context of {self.context}, or another "
                    "prompt is read"
                )
            return self.automaton.start
        following = self.automaton.following(states[t - 1])
        if token not in following:
            raise DataError(f"ConstrainedLM: token {token} in column {t} is outside the language")
        return following[token]


def constrained_generate(
    lm: Model,
    prompt_ids: Sequence[int],
    automaton: TokenAutomaton,
    max_tokens: int,
    *,
    seed: int = 0,
    **sampling: Any,
) -> tuple[list[int], bool]:
    """Generate a string of the language after a prompt.

    automaton   a TokenAutomaton
    max_tokens  at most, the end token included
    others      as in `generate`
    returns     (tokens without the end token, True if they are a whole string of the language;
                False if max_tokens ended them: they are then the beginning of one)
    """
    lm = ConstrainedLM(lm, automaton, prompt_ids)
    if lm.context is not None and len(lm.prompt) + max_tokens - 1 > lm.context:
        raise ConfigError(
            f"constrained_generate: {len(lm.prompt)} prompt tokens and {max_tokens} more do not "
            f"fit the context of {lm.context}; generate fewer"
        )
    tokens = list(generate(lm, prompt_ids, max_tokens, seed=seed, eos=automaton.eos, **sampling))
    if tokens and tokens[-1] == automaton.eos:
        return tokens[:-1], True
    state = automaton.start
    for token in tokens:
        state = automaton.following(state)[token]
    # Without the end token the text may still be whole: then the end would be allowed next.
    return tokens, automaton.eos in automaton.following(state)
