"""`--reward`: what scores answers, a run of `tinylm align reward` or a function of one's own.

    def reward(prompt, answer):              # two texts -> a number, higher is better
    def reward(prompt, answer, record):      # and the record of the prompt, as its file has it:
                                             # while training; `generate` has none

A function is called once before anything is sampled, so that a mistake in it shows at once and not
after the first batch. Read next: saved.py, RewardRun; inference/best_of_n.py.
"""

import functools
import hashlib
import inspect
import math
import numbers
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.align.run.saved import open_reward
from tinylm.align.run.tunable import weights_sha256
from tinylm.autograd.check.user_code import find_callable
from tinylm.data.read.prompts import Prompt
from tinylm.errors import ConfigError, DataError

HOW = "FILE.py:function, or the directory of a run of `tinylm align reward`"


class RewardFunction:
    """Scores by a function of the user.

    function   (prompt, answer[, record]) -> number
    name       of it, for errors
    sha256     of the file that it stands in; what that imports is not part of it
    raises     ConfigError for a function that takes other arguments
    """

    def __init__(self, function: Callable, name: str, sha256: str = "") -> None:
        self.function, self.name, self.sha256 = function, name, sha256
        self.takes_record, self.needs_record = _takes(function, 3), not _takes(function, 2)
        if not self.takes_record and self.needs_record:
            raise ConfigError(
                f"--reward {name}: it is called with (prompt, answer) or (prompt, answer, record), "
                f"and takes {inspect.signature(function)}"
            )

    def __call__(
        self,
        messages: Sequence[dict[str, str]],
        answers: Sequence[str],
        record: dict[str, str] | None = None,
    ) -> np.ndarray:
        """The rewards of answers to one prompt: (n,) float64.

        messages  list of {"role", "content"}, the conversation before the answers
        answers   list of n str
        record    dict of the prompt's record; None if there is none
        raises    DataError if the function raises, or returns something else than a finite number;
                  ConfigError if it needs a record and there is none
        """
        if record is None and self.needs_record:
            raise ConfigError(
                f"--reward {self.name} needs the record of a prompt, and this prompt is no record "
                "of a file: give a function of (prompt, answer), or a default, record=None"
            )
        prompt = messages[-1]["content"]
        return np.array([self._one(prompt, answer, record) for answer in answers], np.float64)

    def has_room(self, prompt: Prompt, max_tokens: int) -> bool:
        """True: a text may have any length."""
        return True

    def _one(self, prompt, answer, record):
        given = (prompt, answer)
        if self.takes_record and record is not None:
            given = (prompt, answer, record)
        try:
            value = self.function(*given)
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise DataError(
                f"--reward {self.name} raised {_where(error)} for the prompt {prompt!r:.80} and "
                f"the answer {answer!r:.80}"
            ) from error
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise DataError(
                f"--reward {self.name} returned {value!r:.60} for the answer {answer!r:.80}: "
                "return a finite number"
            )
        return float(value)


class RewardOfModel:
    """Scores by a reward model: a RewardRun, called as a RewardFunction.

    name     as it was given, for errors
    context  most tokens of a conversation with its answer
    """

    def __init__(self, run: str, name: str) -> None:
        self.run, self.name = run, name
        self.context = run.context

    def has_room(self, prompt: Sequence[int], max_tokens: int) -> bool:
        """Whether the reward model reads a Prompt and an answer of max_tokens of its own tokens."""
        ids = self.run.template.encode(self.run.tokenizer, prompt.messages)
        return len(ids) + max_tokens <= self.context

    @functools.cached_property
    def sha256(self) -> str:
        """Of the weights."""
        return weights_sha256(self.run.model.named_arrays())

    def __call__(
        self,
        messages: Sequence[dict[str, str]],
        answers: Sequence[np.ndarray],
        record: dict[str, str] | None = None,
    ) -> np.ndarray:
        """The rewards of answers to one prompt: (n,) float64."""
        talks = [[*messages, {"role": "assistant", "content": answer}] for answer in answers]
        try:
            return self.run.rewards(talks)
        except DataError as error:
            raise DataError(f"--reward {self.name}: {error}") from error


def open_scorer(text: str, device: str = "cpu") -> Any:
    """What `--reward TEXT` means: (messages, answers, record=None) -> (n,) array.

    raises   ConfigError for what is neither a reward model nor a function, with the mend
    """
    if not text:
        raise ConfigError(f"--reward is needed, which scores the answers: {HOW}")
    place, colon, _ = text.rpartition(":")
    if colon and (place.endswith(".py") or not Path(text).exists()):
        return RewardFunction(*_found(text, place))
    if text.endswith(".py"):
        raise ConfigError(f"--reward {text} names no function: write {text}:function")
    if not Path(text).exists():
        raise ConfigError(f"--reward {text}: there is no such run; give {HOW}")
    return RewardOfModel(open_reward(text, device), text)


def _found(text, place):
    """(function, its name, SHA-256 of its file), the file run; ConfigError if that fails."""
    try:
        function, module = find_callable(text, "--reward")
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # anything that running the file raises
        raise ConfigError(f"--reward {text}: {place} raised {_where(error)}") from error
    if not callable(function):
        raise ConfigError(f"--reward {text} is {function!r:.60}, which cannot be called")
    source = getattr(module, "__file__", None)
    if source is None:
        return function, text, ""
    return function, text, hashlib.sha256(Path(source).read_bytes()).hexdigest()


def _takes(function, count):
    """Whether a function can be called with `count` positional arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature: tried with two
        return count == 2
    return True


def _where(error):
    """An exception as text, with the line of the user's code where it happened."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return text  # it names its own line
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "tinylm" not in Path(frame.filename).parts]
    own = [frame for frame in own if not frame.filename.startswith("<frozen")]
    if own:
        return f"{text} (line {own[-1].lineno} of {Path(own[-1].filename).name})"
    return text
