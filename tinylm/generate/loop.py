"""Left-to-right generation: predict, append, repeat   (book section 2.1; Table 2.1, eq. 2.3).

One loop (`_loop`) serves one prompt and a batch, greedy and sampled, streaming and not. Rows of a
batch are independent: prompts of unequal length are aligned at their ends, each row has its random
stream and slides its own window, so it gives what it would give alone. Read next: fast/folded.py.
"""

import codecs
import difflib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm import backend
from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate.fast.fastest import fastest
from tinylm.generate.protocol.language_model import Model, as_language_model, check_token_ids
from tinylm.generate.protocol.score import token_logprobs
from tinylm.generate.sample import Sampling, Uniforms, filtered, pick, seen_tokens
from tinylm.generate.stop import Output

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


def generate(
    lm: Model,
    prompt_ids: ArrayLike,
    max_tokens: int,
    *,
    seed: int = 0,
    stop: Sequence[str] = (),
    eos: int | Sequence[int] | None = None,
    tokenizer: "Tokenizer | None" = None,
    notice: Callable[[str], None] | None = warnings.warn,
    **sampling: Any,
) -> Iterator:
    """Generate tokens after a prompt, one at a time.

    lm          a model of tinylm.models, or a language model (protocol/language_model.py)
    prompt_ids  (T,) integers, at least one
    max_tokens  tokens to generate at most
    seed        of the random stream: same seed, same tokens
    stop        strings that end the text; no token that holds a part of one is yielded. Needs
                `tokenizer`
    eos         id of the token that ends generation, or several; it is yielded last
    notice      called with a warning text if the prompt does not fit the context and is shortened
    **sampling  fields of Sampling: temperature, top_k, top_p, min_p, typical_p, epsilon, eta,
                repetition_penalty
    yields      int
    raises      ConfigError, ShapeError or DataError at the call, before the first token
    """
    output = Output(stop, tokenizer, eos)
    # Not a generator function: all arguments are checked here, before the first `next`.
    steps = _steps(lm, [prompt_ids], max_tokens, sampling, [seed], [output], notice)
    return (token for _, tokens, _ in steps for token in tokens)


def generate_batch(
    lm: Model,
    prompts: Sequence[list[int]],
    max_tokens: int,
    *,
    seed: int | Sequence[int] = 0,
    stop: Sequence[str] = (),
    eos: int | Sequence[int] | None = None,
    tokenizer: "Tokenizer | None" = None,
    notice: Callable[[str], None] | None = warnings.warn,
    **sampling: Any,
) -> list[list[int]]:
    """Generate after several prompts at once; every row gets what `generate` alone would give it.

    prompts  B sequences of integers, of any lengths
    seed     an integer: row r uses seed + r; or B integers, one a row
    others   as in `generate`
    returns  list of B lists of int
    """
    outputs = [Output(stop, tokenizer, eos) for _ in prompts]
    results = [[] for _ in prompts]
    for r, tokens, _ in _steps(lm, prompts, max_tokens, sampling, seed, outputs, notice):
        results[r] += tokens
    return results


def row_seeds(seed: int | Sequence[int], B: int) -> list[int]:
    """One seed for each of B rows: seed, seed + 1, .. of an integer.

    raises  ShapeError for a sequence of another length
    """
    if isinstance(seed, (int, np.integer)):
        return [seed + r for r in range(B)]
    seeds = list(seed)
    if len(seeds) != B:
        raise ShapeError(f"{len(seeds)} seeds for {B} prompts; give one each, or a single integer")
    return seeds


@dataclass(frozen=True)
class Generated:
    """What was generated after one prompt.

    tokens      list of int, the end token included
    logprobs    (n,) float64: log Pr of each token under the model itself, whatever the sampling
    drawn       (n,) float64: under the distribution that it was drawn from, after temperature and
                all filters; 0 for the most probable token where no other can be chosen
    text        str, up to the first stop string; bytes that are not UTF-8 become U+FFFD
    finish      why it ended: "end" (an end token), "stop" (a stop string), "length" (max_tokens)
    stopped_by  the stop string that ended it, else ""
    cut         how many more tokens were generated, which a stop string cut off
    """

    tokens: list
    logprobs: np.ndarray
    drawn: np.ndarray
    text: str
    finish: str
    stopped_by: str = ""
    cut: int = 0


def generate_rows(
    lm: Model,
    prompts: Sequence[list[int]],
    max_tokens: int,
    *,
    seed: int | Sequence[int] = 0,
    stop: Sequence[str] = (),
    eos: int | Sequence[int] | None = None,
    tokenizer: "Tokenizer | None" = None,
    notice: Callable[[str], None] | None = warnings.warn,
    before: Sequence[list[int]] | None = None,
    leads: Sequence[str] | None = None,
    **sampling: Any,
) -> list[Generated]:
    """As `generate_batch`, with the text, the log-probabilities and the end of every row.

    tokenizer  has token_bytes(id): needed, as there is text
    before     B lists of the ids that `lm` has read before the prompts, as behind a stored prefix:
               repetition_penalty counts them too. None: nothing
    leads      B str: in a text that begins with its own, stop strings are looked for after it
    returns    list of B Generated
    """
    outputs = [Output(stop, tokenizer, eos, lead) for lead in leads or [""] * len(prompts)]
    tokens = [[] for _ in prompts]
    texts = [b""] * len(prompts)
    # (log Pr under the model, as drawn) of all tokens chosen, also those cut by a stop string
    logprobs = [[] for _ in prompts]
    steps = _steps(lm, prompts, max_tokens, sampling, seed, outputs, notice, logprobs, before)
    for r, released, piece in steps:
        tokens[r] += released
        texts[r] += piece
    found = []
    for row, terms, text, output in zip(tokens, logprobs, texts, outputs):
        cut = len(terms) - len(row)
        own, drawn = np.array(terms[: len(row)], np.float64).reshape(-1, 2).T  # (n,) twice
        text = text.decode("utf-8", "replace")
        found.append(Generated(row, own, drawn, text, output.finish, output.stopped_by, cut))
    return found


def stream_text(
    lm: Model,
    tokenizer: "Tokenizer",
    prompt: str | ArrayLike,
    max_tokens: int,
    *,
    bos: int | None = None,
    seed: int | Sequence[int] = 0,
    stop: Sequence[str] = (),
    eos: int | Sequence[int] | None = None,
    notice: Callable[[str], None] | None = warnings.warn,
    **sampling: Any,
) -> Iterator[str]:
    """Generate text after a text, in pieces that will not change any more.

    tokenizer  has encode(text) and token_bytes(id), as in tinylm.tokenizers
    prompt     str, or token ids (from a chat template, for example)
    bos        id put before the prompt, or None
    others     as in `generate`; the text ends before the first stop string, to the character
    yields     str, whole characters; bytes that are not UTF-8 become U+FFFD
    """
    ids = tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
    if bos is not None:
        ids = [bos, *ids]
    output = Output(stop, tokenizer, eos)
    return _decoded(_steps(lm, [ids], max_tokens, sampling, [seed], [output], notice))


def generate_text(
    lm: Model,
    tokenizer: "Tokenizer",
    prompt: str | Sequence[int],
    max_tokens: int,
    **options: Any,
) -> str:
    """The pieces of `stream_text` joined to one str; the prompt is not part of it."""
    return "".join(stream_text(lm, tokenizer, prompt, max_tokens, **options))


def _decoded(steps):
    # A token may end inside a character: the decoder keeps its first bytes until the rest comes.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for _, _, piece in steps:
        if text := decoder.decode(piece):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def as_sampling(options: dict[str, float | None]) -> Sampling:
    """`Sampling(**options)`; an unknown option raises ConfigError with the closest names."""
    known = Sampling.__dataclass_fields__
    for name in [name for name in options if name not in known]:
        others = ["max_tokens", "seed", "stop", *known]  # with what every caller takes beside
        hint = f"there are {', '.join(others)}"
        if near := difflib.get_close_matches(name, others, n=3):
            hint = f"did you mean {' or '.join(near)}?"
        raise ConfigError(f"generate: no option {name!r}; {hint}")
    return Sampling(**options)


def _steps(lm, prompts, max_tokens, options, seed, outputs, notice, logprobs=None, before=None):
    """Check everything, then return the generator of (row, tokens released, bytes released).

    options   dict of the fields of Sampling
    seed      an integer, or one for each prompt
    outputs   an Output for each prompt
    logprobs  a list for each row, which gets (log Pr under the model, as drawn) of every token
              chosen; None: not computed
    before    ids read before each prompt, or None
    """
    if not isinstance(max_tokens, (int, np.integer)) or max_tokens < 0:
        raise ConfigError(
            f"generate: max_tokens must be a whole number, 0 or more, not {max_tokens!r}"
        )
    lm, sampling = as_language_model(lm), as_sampling(options)
    streams = [Uniforms(one) for one in row_seeds(seed, len(prompts))]
    lm = fastest(lm, len(prompts))
    rows = Rows(lm, [check_prompt(prompt, lm) for prompt in prompts], notice)
    seen = None
    if sampling.repetition_penalty != 1:
        texts = rows.tokens
        if before is not None:
            texts = [[*earlier, *ids] for earlier, ids in zip(before, texts)]
        seen = seen_tokens(texts, lm.vocab_size)  # (B, V)
    return _loop(rows, int(max_tokens), sampling, streams, outputs, logprobs, seen)


def _loop(rows, max_tokens, sampling, streams, outputs, logprobs, seen):
    active = list(range(len(outputs)))  # the prompt of each unfinished row
    if not active:
        return
    for _ in range(max_tokens):
        # Predict: logits (b, V) of the b unfinished rows -> one token each, (b,).
        logits = rows.next_logits()
        left = filtered(logits, sampling, seen)  # (b, V), what a token is drawn from
        tokens = pick(left, sampling, [streams[r] for r in active]).tolist()
        if logprobs is not None:
            for r, *terms in zip(active, *_logprobs(logits, left, tokens, sampling)):
                logprobs[r].append(terms)
        # Append.
        rows.append(tokens)
        if seen is not None:
            seen[range(len(tokens)), tokens] = True
        for r, token in zip(active, tokens):
            yield r, *outputs[r].add(token)
        # Repeat with the rows that have not ended; ended ones leave the batch and the cache.
        going = [i for i, r in enumerate(active) if not outputs[r].done]
        if len(going) < len(active):
            active = [active[i] for i in going]
            if not active:
                return
            rows.keep(going)
            if seen is not None:
                seen = seen[going]
    # Out of tokens: what was held back for a stop string that never came is part of the text.
    for r in active:
        yield r, *outputs[r].close()


def _logprobs(logits, left, tokens, sampling):
    """log Pr of the tokens chosen, under the model and under what they were drawn from: two (b,).

    logits, left  (b, V) before and after temperature and filters
    """
    own = token_logprobs(logits, tokens)
    if sampling.is_greedy:
        return own, np.zeros(len(tokens))
    if left is logits:
        return own, own
    return own, token_logprobs(left, tokens)


def check_prompt(prompt_ids: ArrayLike, lm: Model) -> list[int]:
    """The prompt as a list of int.

    raises  ShapeError if it is empty or not 1-D, DataError for an id outside the vocabulary
    """
    if isinstance(prompt_ids, str):
        raise DataError(
            "generate reads token ids, not text: use generate_text, or encode the prompt first"
        )
    ids = np.asarray(prompt_ids)
    if ids.ndim != 1 or ids.size == 0:
        raise ShapeError(
            f"generate: the prompt has shape {ids.shape}; it must be (T,) with at least one token, "
            "for example the tokenizer's start token or a line break"
        )
    check_token_ids(ids, lm.vocab_size)
    return ids.tolist()


class Rows:
    """Growing sequences, the window of each that the model reads, and the cache of that window.

    lm       a language model (protocol/language_model.py)
    prompts  B lists of int
    notice   called with a warning text for a prompt longer than the context; None: no warning

    The window: a model reads at most `context` tokens. A longer prompt keeps its last `context`
    tokens. When a row's window is full, the next window is its last context // 2 tokens, read again
    from position 0: learned positions cannot slide without reading again, and half a window makes
    that rare (every context / 2 tokens).
    """

    def __init__(
        self,
        lm: Model,
        prompts: Sequence[list[int]],
        notice: Callable[[str], None] | None = warnings.warn,
    ) -> None:
        self.lm = lm
        self.tokens = [list(prompt) for prompt in prompts]
        self.starts = [0] * len(prompts)  # row r's window is tokens[r][starts[r] :]
        self._cache = None
        for r, row in enumerate(self.tokens):
            if lm.context is None or len(row) <= lm.context:
                continue
            self.starts[r] = len(row) - lm.context
            if notice is not None:
                which = f"prompt {r}" if len(prompts) > 1 else "the prompt"
                notice(
                    f"{which} has {len(row)} tokens, more than the context of {lm.context}: "
                    f"its last {lm.context} are kept, the first {self.starts[r]} are not seen "
                    "by the model"
                )

    def next_logits(self) -> np.ndarray:
        """Scores of each row's next token, (B, V) on the CPU, after reading what is new."""
        cache, context = self._cache, self.lm.context
        if cache is None or (context is not None and cache.length >= context):
            # The first step, or a full window: read whole windows into an empty cache.
            return self._read_windows()
        # The usual step: the cache holds everything but the token appended last.
        new = np.array([row[-1:] for row in self.tokens])  # (B, 1)
        return backend.to_cpu(self.lm.next_logits(new, cache))

    def _read_windows(self):
        """Read all windows, aligned at their ends, into a new cache: logits (B, V).

        Rows with the same window, as samples of one prompt, are read once, and their keys and
        values copied.
        """
        for r, row in enumerate(self.tokens):
            if self.lm.context is not None and len(row) - self.starts[r] > self.lm.context:
                self.starts[r] = len(row) - max(1, self.lm.context // 2)
        windows = [tuple(row[start:]) for row, start in zip(self.tokens, self.starts)]
        places = list(range(len(windows)))  # of each row among the windows that are read
        read = windows
        if getattr(self.lm, "rows_alike", False):
            read = list(dict.fromkeys(windows))
            number = {window: i for i, window in enumerate(read)}
            places = [number[window] for window in windows]
        # Shorter windows begin with padding, so that the last column is every row's newest token.
        width = max(map(len, read))
        padding = np.array([width - len(window) for window in read])
        self._cache = self.lm.new_cache(len(read), padding if padding.any() else None)
        new = np.array([[0] * n + list(window) for n, window in zip(padding.tolist(), read)])
        logits = backend.to_cpu(self.lm.next_logits(new, self._cache))
        if len(read) == len(windows):
            return logits
        self._cache.select(places)
        return logits[places]

    def append(self, tokens: Sequence[int]) -> None:
        """Add one token to each row."""
        for row, token in zip(self.tokens, tokens):
            row.append(int(token))

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the given rows only, in that order; a row listed twice is copied (beam search)."""
        self.tokens = [list(self.tokens[r]) for r in rows]
        self.starts = [self.starts[r] for r in rows]
        if self._cache is not None:
            self._cache.select(rows)
