"""Constrained decoding: only what keeps the text inside a language   (Willard and Louf 2023).

An automaton over bytes (a regular expression, or a set of strings as a trie) becomes one over
tokens: a token may come if its bytes lead from the present state to a live one. `ConstrainedLM`
gives all other tokens probability 0 and is again a language model, so sampling, beam search and
speculative decoding work under the constraint unchanged. The distribution is renormalized step by
step. That is not Pr(y | y in the language): a step cannot know how much probability its
continuations lose later; to rank a finite set of strings, score each (rerank.py). Read next:
rerank.py.
"""

import numpy as np

from tinylm import backend
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate.loop import check_prompt, generate
from tinylm.generate.protocol.language_model import as_language_model, check_tokens

ENDED = object()  # the state after the end token
NO_STRING = (
    "TokenAutomaton: no string of the language can be spelled with the tokens of this tokenizer"
)
# Where all states are listed there could be 2^places of them, each with a whole vocabulary.
LISTED_STATES = 50_000
KEPT_TOKENS = 2_000_000  # (state, token) pairs held at a time


class StringSet:
    """A finite set of strings as an automaton over bytes: the trie of their beginnings.

    strings  str, or bytes, each; at least one
    """

    def __init__(self, strings):
        whole = [
            string.encode("utf-8") if isinstance(string, str) else bytes(string)
            for string in strings
        ]
        if not whole:
            raise ConfigError(
                "StringSet: no strings, so nothing could be generated; give at least one"
            )
        # A state is the number of a node; memory grows with the bytes, not with all beginnings.
        self.start, self._children, self._whole = 0, [{}], set()
        for string in whole:
            self._add(string)

    def _add(self, string):
        node = self.start
        for byte in string:
            if byte not in self._children[node]:
                self._children[node][byte] = len(self._children)
                self._children.append({})
            node = self._children[node][byte]
        self._whole.add(node)

    def step(self, state, byte):
        """The state after one byte, or None."""
        return self._children[state].get(byte)

    def accepts(self, state):
        """True if the bytes so far are one of the strings."""
        return state in self._whole


class TokenAutomaton:
    """An automaton over bytes read token by token.

    automaton   has start, step(state, byte) -> state or None, accepts(state): Regular, StringSet
    tokenizer   has vocab_size and token_bytes(id)
    eos         id of the token that ends the text: allowed where the text is a whole string, and
                the only one after it
    raises      DataError if no string of the language can be spelled with these tokens

    With a token for every single byte each state can go on. Without, a token may lead where no
    other fits ("1" towards "12" without a "2"): then all states are listed at once and such tokens
    left out. An automaton with more than LISTED_STATES of them raises ConfigError.
    """

    def __init__(self, automaton, tokenizer, eos):
        if not 0 <= eos < tokenizer.vocab_size:
            raise ConfigError(
                f"TokenAutomaton: the end token {eos} is not in a vocabulary of {tokenizer.vocab_size}"
            )
        self.automaton, self.eos, self.vocab_size = automaton, eos, tokenizer.vocab_size
        special = set(getattr(tokenizer, "special", {}).values()) | {eos}
        self._by_first, single = {}, set()  # first byte -> [(token, bytes)]
        for token in sorted(set(range(self.vocab_size)) - special):
            data = tokenizer.token_bytes(token)
            if data:  # one without bytes leads nowhere, for ever
                self._by_first.setdefault(data[0], []).append((token, data))
            if len(data) == 1:
                single.add(data)
        self.start, self._following, self._kept = automaton.start, {}, 0
        self._forget = True
        if not self.following(self.start):
            raise DataError(NO_STRING)
        if len(single) < 256:
            self._leave_out_dead_ends()

    def following(self, state):
        """What may come in a state: dict from token to the state after it. Computed once a state."""
        if state is ENDED:
            return {self.eos: ENDED}
        if state not in self._following:
            found = {self.eos: ENDED} if self.automaton.accepts(state) else {}
            for byte, tokens in self._by_first.items():  # most first bytes rule out all of theirs
                first = self.automaton.step(state, byte)
                for token, data in tokens if first is not None else ():
                    after = first
                    for byte in data[1:]:
                        after = self.automaton.step(after, byte)
                        if after is None:
                            break
                    if after is not None:
                        found[token] = after
            self._keep(state, found)
        return self._following[state]

    def _keep(self, state, found):
        """Remember what may follow a state; forget all others first if there are too many."""
        if self._forget and self._kept > KEPT_TOKENS:
            self._following.clear()
            self._kept = 0
        self._following[state] = found
        self._kept += len(found)

    def _leave_out_dead_ends(self):
        self._forget = False  # what is listed must stay
        into, new, ending = {self.start: []}, [self.start], []
        while new:  # all states, and from where each is reached
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
        live = set()
        while ending:  # backwards from those that may end
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

    def mask(self, state):
        """(V,): 0 for tokens that may come, -inf for the others."""
        mask = np.full(self.vocab_size, -np.inf)
        mask[list(self.following(state))] = 0
        return mask


class ConstrainedCache:
    """The cache of the model inside, and the state of each row."""

    def __init__(self, inner, batch):
        self.inner = inner
        self.padding = None
        self.states = [[] for _ in range(batch)]  # state before each column

    @property
    def length(self):
        """Columns read so far."""
        return self.inner.length

    def crop(self, length):
        """Forget all columns from `length` on."""
        self.inner.crop(length)
        self.states = [states[:length] for states in self.states]

    def select(self, rows):
        """Keep the given rows, in the given order."""
        self.inner.select(rows)
        self.states = [list(self.states[int(row)]) for row in rows]


class ConstrainedLM:
    """A language model that continues one prompt inside a language (protocol/language_model.py).

    lm         the model inside
    automaton  a TokenAutomaton
    prompt     (T,) integers, free of the constraint: it begins after them. Prompt and text must fit
               the context
    """

    def __init__(self, lm, automaton, prompt):
        self.lm, self.automaton = as_language_model(lm), automaton
        self.prompt = check_prompt(prompt, self.lm)
        self.vocab_size, self.context = self.lm.vocab_size, self.lm.context
        if automaton.vocab_size != self.vocab_size:
            raise ConfigError(
                f"ConstrainedLM: the tokenizer has {automaton.vocab_size} tokens, the model {self.vocab_size}"
            )

    def new_cache(self, batch, padding=None):
        """An empty cache for B rows, without padding."""
        if padding is not None:
            raise ShapeError("ConstrainedLM continues one prompt, so no row is padded")
        return ConstrainedCache(self.lm.new_cache(batch), batch)

    def logits(self, tokens, cache=None):
        """Scores after each of `tokens`, -inf for what the language forbids: (B, T) -> (B, T, V)."""
        tokens = check_tokens(tokens, self, cache)
        if cache is None:
            cache = self.new_cache(len(tokens))
        before = cache.length
        scores = np.array(backend.to_cpu(self.lm.logits(tokens, cache.inner)), np.float64)
        for b, row in enumerate(tokens.tolist()):
            for t, token in enumerate(row, before):
                cache.states[b].append(self._after(cache.states[b], t, token))
                if t >= len(self.prompt) - 1:
                    scores[b, t - before] += self.automaton.mask(cache.states[b][t])
        return scores

    def next_logits(self, tokens, cache=None):
        """Scores after the last of `tokens`: (B, T) -> (B, V)."""
        return self.logits(tokens, cache)[:, -1]

    def _after(self, states, t, token):
        """The state after column t."""
        if t < len(self.prompt):
            if token != self.prompt[t]:
                raise ShapeError(
                    f"ConstrainedLM: column {t} is {token}, not the prompt's {self.prompt[t]}: prompt and text "
                    f"do not fit the context of {self.context}, or another prompt is read"
                )
            return self.automaton.start
        following = self.automaton.following(states[t - 1])
        if token not in following:
            raise DataError(f"ConstrainedLM: token {token} in column {t} is outside the language")
        return following[token]


def constrained_generate(lm, prompt_ids, automaton, max_tokens, *, seed=0, **sampling):
    """Generate a string of the language after a prompt.

    automaton   a TokenAutomaton
    max_tokens  at most, the end token included
    others      as in `generate`
    returns     (tokens without the end token, True if they are a whole string of the language:
                False if they ran out of tokens, whatever they are then a beginning of one)
    """
    lm = ConstrainedLM(lm, automaton, prompt_ids)
    if lm.context is not None and len(lm.prompt) + max_tokens - 1 > lm.context:
        raise ConfigError(
            f"constrained_generate: {len(lm.prompt)} prompt tokens and {max_tokens} more do not fit the context "
            f"of {lm.context}; ask for fewer"
        )
    tokens = list(generate(lm, prompt_ids, max_tokens, seed=seed, eos=automaton.eos, **sampling))
    if tokens and tokens[-1] == automaton.eos:
        return tokens[:-1], True
    state = automaton.start
    for token in tokens:
        state = automaton.following(state)[token]
    return tokens, automaton.eos in automaton.following(state)
