"""Scores of a model that are computed once: for searches that try the same prompts again.

Strategies that are compared on the same space and the same items ask for the same log Pr(y | x)
many times. A RememberedLM looks a score up where it can. Its account counts what a search without
this memory would have read, so methods can be compared at equal tokens; the account of the model
behind it counts what was computed. Read first: text_lm.py.
"""

from tinylm.prompt.protocol.completion import Scores
from tinylm.prompt.protocol.text_lm import Prompt, TextLM


class RememberedLM(TextLM):
    """A TextLM whose scores are those of another, each computed once. Replies are not kept.

    lm   TextLM, whose weights must not change meanwhile
    """

    def __init__(self, lm: TextLM) -> None:
        super().__init__()
        self.lm, self.context = lm, lm.context
        self._terms = {}  # (prompt, begin, continuation) -> (log Pr of its tokens, apart)
        self._lengths = {}  # (prompt, begin) -> tokens

    @property
    def chat(self) -> bool:
        """True if the model behind it is a chat model."""
        return getattr(self.lm, "chat", False)

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self.lm.count(text)

    def token_texts(self, text: str) -> list[str]:
        """The tokens of a text as text."""
        return self.lm.token_texts(text)

    def length(self, prompt: Prompt, begin: str = "") -> int:
        """Tokens of a prompt with all that is put around it."""
        key = _key(prompt, begin)
        if key not in self._lengths:
            self._lengths[key] = self.lm.length(prompt, begin)
        return self._lengths[key]

    def weights(self) -> str | None:
        """The hash of the model behind it."""
        return self.lm.weights()

    def _complete(self, prompts, begins, max_tokens, stop, seed, sampling):
        before = self.lm.account.copy()
        options = {"max_tokens": max_tokens, "stop": stop, "seed": seed, **sampling}
        found = self.lm.complete_batch(prompts, begin=begins, **options)
        spent = self.lm.account.since(before)
        self.account.add(prompt_tokens=spent.prompt_tokens, read_tokens=spent.read_tokens)
        return found

    def _score(self, prompts, lists, begins):
        keys = [_key(prompt, begin) for prompt, begin in zip(prompts, begins)]
        before = self.lm.account.copy()
        self._compute(prompts, lists, begins, keys)
        read = self.lm.account.since(before).read_tokens
        self.account.add(read_tokens=read)
        found = []
        for prompt, texts, begin, key in zip(prompts, lists, begins, keys):
            terms, apart = zip(*(self._terms[(*key, text)] for text in texts))
            scored = sum(map(len, terms))
            self.account.add(prompt_tokens=self.length(prompt, begin), scored_tokens=scored)
            found.append(Scores(tuple(texts), terms, apart=apart))
        return found

    def _compute(self, prompts, lists, begins, keys):
        """Score what is not known yet, each prompt with all of its missing texts at once."""
        rows, missing = {}, {}  # key -> number of a prompt; key -> texts without repetition
        for r, (key, texts) in enumerate(zip(keys, lists)):
            for text in texts:
                if (*key, text) not in self._terms:
                    rows.setdefault(key, r)
                    missing.setdefault(key, {})[text] = True
        found = self.lm.score_batch(
            [prompts[r] for r in rows.values()],
            [list(missing[key]) for key in rows],
            begin=[begins[r] for r in rows.values()],
        )
        for key, scores in zip(rows, found):
            for text, terms, apart in zip(scores.continuations, scores.terms, scores.apart):
                self._terms[(*key, text)] = terms, apart


def _key(prompt, begin):
    """A prompt as a key: messages are lists, which cannot be one."""
    if not isinstance(prompt, str):
        prompt = repr(prompt)
    return prompt, begin
