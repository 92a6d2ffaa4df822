"""Replies to the samples of a prompt, written by hand, for tests of control flow."""

import numpy as np

from tinylm.prompt import Completion, ScriptedLM


def reply(text, *logprobs):
    """A Completion with these log-probabilities of its tokens."""
    return Completion(text, list(range(len(logprobs))), np.array(logprobs, float), "end")


class Sampler(ScriptedLM):
    """Gives the replies of a list to the samples of one prompt, with log-probabilities."""

    def __init__(self, replies, logprobs=None):
        super().__init__({})
        self.replies, self.logprobs, self.seen = list(replies), logprobs, []

    def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
        self.seen.append((list(prompts), max_tokens, stop, seed, sampling))
        self._table = None
        self._left = [(None, text) for text in self.replies]
        found = super()._complete(prompts, begin, max_tokens, stop, seed, sampling)
        logprobs = self.logprobs or [0.0] * len(found)
        return [reply(one.text, value) for one, value in zip(found, logprobs)]
