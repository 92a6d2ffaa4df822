"""Left-to-right generation: predict, append, repeat   (book section 2.1; Table 2.1, eq. 2.3).

One loop (`_steps`) serves a single prompt and a batch, greedy and sampled, streaming and not. Rows
of a batch do not know of each other: prompts of unequal length are aligned at their ends, each row
has its own random stream and slides its own window, so a row gives what it would give alone. Read
next: fast/folded.py for the speed of a single prompt, trace.py for a look inside.
"""

import codecs
import difflib
import warnings

import numpy as np

from tinylm import backend
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate.fast.fastest import fastest
from tinylm.generate.protocol.language_model import as_language_model, check_ids
from tinylm.generate.sample import Sampling, Uniforms, choose, seen_tokens
from tinylm.generate.stop import Output


def generate(
    lm,
    prompt_ids,
    max_tokens,
    *,
    seed=0,
    stop=(),
    eos=None,
    tokenizer=None,
    notice=warnings.warn,
    **sampling,
):
    """Generate tokens after a prompt, one at a time.

    lm          a model of tinylm.models, or a language model (protocol/language_model.py)
    prompt_ids  (T,) integers, at least one
    max_tokens  tokens to generate at most
    seed        of the random stream: same seed, same tokens
    stop        strings that end the text; no token that holds a part of one is given out. Needs
                `tokenizer`
    eos         id of the token that ends generation, or several; it is given out last
    notice      called with a sentence if the prompt does not fit the context, saying what is kept
    **sampling  fields of Sampling: temperature, top_k, top_p, min_p, typical_p, epsilon, eta,
                repetition_penalty
    yields      int
    raises      ConfigError, ShapeError or DataError at the call, before the first token
    """
    lm = fastest(as_language_model(lm))
    steps = _steps(
        lm,
        [prompt_ids],
        max_tokens,
        as_sampling(sampling),
        [seed],
        [Output(stop, tokenizer, eos)],
        notice,
    )
    return (token for _, tokens, _ in steps for token in tokens)


def generate_batch(
    lm,
    prompts,
    max_tokens,
    *,
    seed=0,
    stop=(),
    eos=None,
    tokenizer=None,
    notice=warnings.warn,
    **sampling,
):
    """Generate after several prompts at once; every row gets what `generate` alone would give it.

    prompts  B sequences of integers, of any lengths
    seed     an integer: row r uses seed + r; or B integers, one a row
    others   as in `generate`
    returns  list of B lists of int
    """
    lm = as_language_model(lm)
    B = len(prompts)
    seeds = [seed + r for r in range(B)] if isinstance(seed, (int, np.integer)) else list(seed)
    if len(seeds) != B:
        raise ShapeError(
            f"generate_batch: {len(seeds)} seeds for {B} prompts; give one each, or a single integer"
        )
    results = [[] for _ in prompts]
    outputs = [Output(stop, tokenizer, eos) for _ in prompts]
    if B == 1:
        lm = fastest(lm)
    for r, tokens, _ in _steps(
        lm, prompts, max_tokens, as_sampling(sampling), seeds, outputs, notice
    ):
        results[r] += tokens
    return results


def stream_text(
    lm,
    tokenizer,
    prompt,
    max_tokens,
    *,
    bos=None,
    seed=0,
    stop=(),
    eos=None,
    notice=warnings.warn,
    **sampling,
):
    """Generate text after a text, piece by piece as it becomes certain.

    tokenizer  has encode(text) and token_bytes(id), as in tinylm.tokenizers
    prompt     str, or token ids that have been made otherwise (a chat template)
    bos        id put before the prompt, or None
    others     as in `generate`; the text ends before the first stop string, to the character
    yields     str, whole characters; bytes that are not UTF-8 become U+FFFD
    """
    ids = [
        *([] if bos is None else [bos]),
        *(tokenizer.encode(prompt) if isinstance(prompt, str) else prompt),
    ]
    lm = fastest(as_language_model(lm))
    steps = _steps(
        lm, [ids], max_tokens, as_sampling(sampling), [seed], [Output(stop, tokenizer, eos)], notice
    )
    return _decoded(steps)


def generate_text(lm, tokenizer, prompt, max_tokens, **options):
    """The whole text that `stream_text` gives piece by piece. The prompt is not part of it. Returns
    str.
    """
    return "".join(stream_text(lm, tokenizer, prompt, max_tokens, **options))


def _decoded(steps):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for _, _, piece in steps:
        if text := decoder.decode(piece):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def as_sampling(options):
    """`Sampling(**options)`; ConfigError naming the near ones for an option that does not exist."""
    known = Sampling.__dataclass_fields__
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"generate: no option {name!r}; {hint}")
    return Sampling(**options)


def _steps(lm, prompts, max_tokens, sampling, seeds, outputs, notice):
    """Check everything, then return the generator of (row, tokens released, bytes released)."""
    if not isinstance(max_tokens, (int, np.integer)) or max_tokens < 0:
        raise ConfigError(
            f"generate: max_tokens must be a whole number, 0 or more, not {max_tokens!r}"
        )
    rows = Rows(lm, [check_prompt(prompt, lm) for prompt in prompts], notice)
    return _loop(rows, int(max_tokens), sampling, [Uniforms(seed) for seed in seeds], outputs)


def _loop(rows, max_tokens, sampling, streams, outputs):
    active = list(range(len(outputs)))  # which prompt each row of `rows` belongs to
    if sampling.repetition_penalty != 1:
        seen = seen_tokens(rows.tokens, rows.lm.vocab_size)
    else:
        seen = None
    for _ in range(max_tokens if active else 0):
        tokens = choose(rows.next_logits(), sampling, [streams[r] for r in active], seen).tolist()
        rows.append(tokens)
        if seen is not None:
            seen[range(len(tokens)), tokens] = True
        for r, token in zip(active, tokens):
            yield r, *outputs[r].add(token)
        going = [i for i, r in enumerate(active) if not outputs[r].done]
        if len(going) < len(active):  # a finished row costs nothing any more
            active = [active[i] for i in going]
            if not active:
                return
            rows.keep(going)
            seen = None if seen is None else seen[going]
    for r in active:
        yield r, *outputs[r].close()


def check_prompt(prompt_ids, lm):
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
    check_ids(ids, lm.vocab_size)
    return ids.tolist()


class Rows:
    """Sequences being generated, the part of each that the model sees, and the cache of what it has
    read.

    lm       a language model (protocol/language_model.py)
    prompts  B lists of int
    notice   called with a sentence for a prompt longer than the context; None to stay silent

    The window: a model reads at most `context` tokens. A longer prompt keeps its last `context`
    tokens. When a row's window is full, the row goes on from its last context // 2 tokens, read
    anew from position 0: learned positions cannot slide without reading again, and half a window
    makes that rare (every context / 2 tokens).
    """

    def __init__(self, lm, prompts, notice=warnings.warn):
        self.lm, self.tokens, self._cache = lm, [list(prompt) for prompt in prompts], None
        self.starts = [0] * len(prompts)  # where the window of each row begins
        for r, row in enumerate(self.tokens if lm.context is not None else ()):
            if len(row) > lm.context:
                self.starts[r] = len(row) - lm.context
                if notice is not None:
                    which = f"prompt {r}" if len(prompts) > 1 else "the prompt"
                    notice(
                        f"{which} has {len(row)} tokens, more than the context of {lm.context}: its last "
                        f"{lm.context} are kept, the first {self.starts[r]} are not seen by the model"
                    )

    def next_logits(self):
        """Scores of each row's next token, (B, V) on the CPU, after reading what is new."""
        cache, context = self._cache, self.lm.context
        if cache is not None and (context is None or cache.length < context):
            new = np.array([row[-1:] for row in self.tokens])  # (B, 1)
        else:
            new = self._read_anew()
        return backend.to_cpu(self.lm.next_logits(new, self._cache))

    def _read_anew(self):
        """Move full windows on and lay all windows out, aligned at their ends: (B, width); begins a
        new cache.
        """
        for r, row in enumerate(self.tokens):
            if self.lm.context is not None and len(row) - self.starts[r] > self.lm.context:
                self.starts[r] = len(row) - max(1, self.lm.context // 2)
        windows = [row[start:] for row, start in zip(self.tokens, self.starts)]
        width = max(map(len, windows))
        padding = np.array([width - len(window) for window in windows])
        self._cache = self.lm.new_cache(len(windows), padding if padding.any() else None)
        return np.array([[0] * n + window for n, window in zip(padding.tolist(), windows)])

    def append(self, tokens):
        """Add one token to each row."""
        for row, token in zip(self.tokens, tokens):
            row.append(int(token))

    def keep(self, rows):
        """Go on with the given rows only, in the given order; a row named twice is copied (beam
        search).
        """
        self.tokens = [list(self.tokens[r]) for r in rows]
        self.starts = [self.starts[r] for r in rows]
        if self._cache is not None:
            self._cache.select(rows)
