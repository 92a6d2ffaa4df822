"""The text protocol: complete a prompt, score continuations   (book section 3.1.1).

    y = argmax over y of Pr(y | x)      Pr(y | x) = prod_j Pr(y_j | x, y_<j)

x is a prompt and y what follows it. A prompting method sees only text: it runs on published
weights, on a run of `tinylm train`, and, to prove its control flow, on replies written by hand
(scripted.py). All of them are a TextLM, which counts (account.py) and records (trace.py) what they
do. Read next: completion.py, model.py.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate.loop import row_seeds
from tinylm.prompt.answer import check_counts
from tinylm.prompt.protocol.account import Account
from tinylm.prompt.protocol.completion import Completion, Scores
from tinylm.prompt.protocol.trace import Call, Trace

Prompt = str | Sequence[dict[str, str]]  # a text, or the turns of a chat


class TextLM:
    """A language model over texts. A class of its kind gives `_complete`, `_score`, `count`,
    `token_texts` and `length`.

    account   Account of all calls so far
    context   most tokens of a prompt and its reply, or None
    """

    context = None

    def __init__(self) -> None:
        self.account = Account()
        self._traces = []  # the one that is kept now at the end

    def complete(self, prompt: Prompt, **options: Any) -> Completion:
        """One reply: Completion. Arguments as in complete_batch."""
        return self.complete_batch([prompt], **options)[0]

    def complete_batch(
        self,
        prompts: Sequence,
        begin: str | Sequence[str] = "",
        max_tokens: int = 256,
        stop: str | Sequence[str] | None = (),
        seed: int | Sequence[int] = 0,
        **sampling: Any,
    ) -> list[Completion]:
        """A reply to each prompt; every prompt gets what it would get alone.

        prompts     list of str; or of lists of {"role", "content"}, if there is a chat template
        begin       text that a reply is made to begin with, such as "Let's think step by step.";
                    not part of the reply's text. One str for all prompts, or a list of one each
        max_tokens  of a reply
        stop        strings that end a reply; not part of its text. They are looked for after the
                    white space that the prompt ends in (seam.py)
        seed        an integer: prompt r uses seed + r; or one each
        **sampling  fields of generate.Sampling; without any, the most probable token is taken
        returns     list of Completion
        raises      ConfigError for max_tokens below 1; ShapeError for another number of seeds or of
                    beginnings than of prompts
        """
        prompts = list(prompts)
        if not prompts:
            return []
        check_counts("complete", max_tokens=max_tokens)
        if isinstance(stop, str):
            stop = (stop,)
        if not sampling:
            sampling = {"temperature": 0.0}
        row_seeds(seed, len(prompts))  # raises for a wrong number
        begins = _one_each("complete_batch", begin, prompts)
        begun = time.perf_counter()
        found = self._complete(prompts, begins, max_tokens, tuple(stop), seed, sampling)
        self.account.add(calls=len(prompts), seconds=time.perf_counter() - begun)
        self.account.add(generated_tokens=sum(len(reply.tokens) + reply.cut for reply in found))
        for prompt, start, reply in zip(prompts, begins, found):
            self.record(Call("complete", prompt, start, reply.text, reply.finish))
        return found

    def sample(self, prompt: str, count: int, seed: int = 0, **options: Any) -> list[Completion]:
        """`count` replies to one prompt, with seeds of their own: list of Completion.

        Samples from the model's own distribution unless an option of Sampling is given. Raises
        ConfigError for several replies of which each token is the most probable: they are the same.
        """
        options = {"temperature": 1.0, **options}
        if count > 1 and (options["temperature"] == 0 or options.get("top_k") == 1):
            raise ConfigError(
                f"sample: {count} replies of the likeliest tokens would all be the same: choose "
                "a temperature above 0"
            )
        return self.complete_batch([prompt] * count, seed=seed, **options)

    def score(
        self, prompt: str | Sequence[dict[str, str]], continuations: Sequence[str], **options: Any
    ) -> Scores:
        """The log-probabilities of continuations: Scores. Arguments as in score_batch."""
        return self.score_batch([prompt], [continuations], **options)[0]

    def score_batch(
        self,
        prompts: Sequence,
        continuations: Sequence,
        begin: str | Sequence[str] = "",
        unconditional: str | None = None,
    ) -> list[Scores]:
        """log Pr(continuation | prompt), in nats, of several continuations of each prompt.

        prompts        as in complete_batch
        continuations  a list of str for all prompts, or one list for each. They follow the prompt
                       as they are: " Paris" after "Answer:" (seam.py)
        begin          as in complete_batch: one str for all prompts, or a list of one each
        unconditional  a prompt without the question: Scores.prior is log Pr after it
        returns        list of Scores
        raises         DataError for an empty continuation, or none; ShapeError for another number
                       of beginnings than of prompts
        """
        prompts, lists = list(prompts), list(continuations)
        if lists and isinstance(lists[0], str):
            lists = [lists] * len(prompts)
        if len(lists) != len(prompts):
            raise ConfigError(
                f"score_batch: {len(lists)} lists of continuations for {len(prompts)} prompts; "
                "give one list of texts for all, or one for each"
            )
        lists = [list(texts) for texts in lists]
        if not all(lists):
            raise DataError("score: give at least one continuation for each prompt")
        if not prompts:
            return []
        begins = _one_each("score_batch", begin, prompts)
        begun = time.perf_counter()
        priors = [None] * len(prompts)
        if unconditional is not None:
            # The prior of a list of continuations is the same for every prompt.
            keys = [(start, tuple(texts)) for start, texts in zip(begins, lists)]
            different = list(dict.fromkeys(keys))
            starts, texts = map(list, zip(*different))
            found = self._score([unconditional] * len(different), texts, starts)
            self._record_scores([unconditional] * len(different), starts, found)
            table = {key: scores.sums for key, scores in zip(different, found)}
            priors = [table[key] for key in keys]
            self.account.add(calls=len(different))
        found = self._score(prompts, lists, begins)
        found = [_with_prior(scores, prior) for scores, prior in zip(found, priors)]
        self.account.add(calls=len(prompts), seconds=time.perf_counter() - begun)
        self._record_scores(prompts, begins, found)
        return found

    def _record_scores(self, prompts, begins, found):
        for prompt, start, scores in zip(prompts, begins, found):
            values = dict(zip(scores.continuations, scores.sums.tolist()))
            self.record(Call("score", prompt, start, values))

    def count(self, text: str) -> Any:
        """The number of tokens of a text."""
        raise NotImplementedError

    def token_texts(self, text: str) -> Any:
        """The tokens of a text as text: list of str, whose concatenation is the text as the tokens
        decode. Of tokens that share a character, the last one has it and the others are "".
        """
        raise NotImplementedError

    def length(self, prompt: Prompt, begin: str = "") -> int:
        """The number of tokens that a prompt takes of the context, with all that is put around it.

        prompt, begin  as in complete_batch
        """
        raise NotImplementedError

    def weights(self) -> None:
        """A short hash of the model's weights, which training changes: str; None without any."""
        return None

    def parsed(self, what: str, value: Any) -> Any:
        """Record what a method read from the last reply, if a trace is kept; returns the value."""
        if self._traces and self._traces[-1].calls:
            self._traces[-1].calls[-1].parsed.append((what, value))
        return value

    def share(self, lm: "TextLM") -> None:
        """Count and record in the account and the trace of another TextLM from now on."""
        self.account, self._traces = lm.account, lm._traces

    def record(self, call: Call) -> None:
        """Add a Call to the trace, if one is kept."""
        if self._traces:
            self._traces[-1].calls.append(call)

    @contextlib.contextmanager
    def tracing(self) -> Iterator[Trace]:
        """`with lm.tracing() as trace:` records every call inside in a Trace."""
        trace = Trace()
        self._traces.append(trace)
        try:
            yield trace
        finally:
            self._traces.pop()

    def _complete(self, prompts, begins, max_tokens, stop, seed, sampling):
        """list of Completion, for a prompt and a beginning each; adds prompt_tokens and
        read_tokens to the account.
        """
        raise NotImplementedError

    def _score(self, prompts, lists, begins):
        """list of Scores without prior, for a prompt, a list of texts and a beginning each; adds
        prompt_tokens, read_tokens and scored_tokens.
        """
        raise NotImplementedError


def _one_each(name, begin, prompts):
    """The beginning of each reply: list of str."""
    if isinstance(begin, str):
        return [begin] * len(prompts)
    begins = list(begin)
    if len(begins) != len(prompts):
        raise ShapeError(
            f"{name}: {len(begins)} beginnings for {len(prompts)} prompts; give one each, "
            "or a single text"
        )
    return begins


def _with_prior(scores, prior):
    return type(scores)(scores.continuations, scores.terms, prior, scores.apart)
