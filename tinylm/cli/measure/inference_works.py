"""The works of `tinylm bench smollm2`, as one process does them: reading a prompt, and decoding.

Tokens are drawn once and given, not generated, so that all contestants read the same text. A step
returns by how much the logit of the text's next token is below the largest, the mean over rows: if
these agree, it was the same work. Read next: generate/fast/fastest.py, who
reads them.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

START = 16  # tokens in the cache before the first step of decoding


@dataclass(frozen=True)
class InferenceWork:
    """What a step does.

    batch    rows B
    tokens   of each row that a step reads
    steps    until the text begins again, behind its first START tokens; 1 for a prompt
    """

    batch: int
    tokens: int
    steps: int

    def ids(self, vocab_size: int) -> np.ndarray:
        """The text: (B, START + steps + 1), or (B, tokens + 1) of a prompt."""
        length = self.tokens if self.steps == 1 else START + self.steps
        return np.random.default_rng(0).integers(0, vocab_size, (self.batch, length + 1))


WORKS = {
    "a prompt of 512 tokens": InferenceWork(1, 512, 1),
    "decoding, batch 1": InferenceWork(1, 1, 64),
    "decoding, batch 8": InferenceWork(8, 1, 64),
}


def below_largest(logits: np.ndarray, tokens: np.ndarray) -> float:
    """Largest logit less that of the next token, the mean over rows: (B, V), (B,) -> float."""
    rows = np.arange(len(tokens))
    return float(np.mean(logits.max(axis=1) - logits[rows, tokens]))


def tinylm_inference(job: dict[str, Any], data: bytes | None = None, comm: Any = None) -> Callable:
    """A function that does one step of a work and returns below_largest().

    job  dict: name of the weights, work (of WORKS), bits (None, 8 or 4)
    """
    from tinylm.generate.fast.by_columns import by_columns
    from tinylm.generate.fast.direct import DirectDecoder
    from tinylm.generate.fast.fastest import fastest
    from tinylm.generate.protocol.language_model import ModelLM
    from tinylm.models.published.load import load_pretrained

    model = load_pretrained(job["name"]).model
    work = WORKS[job["work"]]
    if job["bits"] is None:
        by_columns(model)
        lm = fastest(ModelLM(model), work.batch)
    else:
        lm = DirectDecoder(model, job["bits"])
    ids = work.ids(lm.vocab_size)
    if work.steps == 1:

        def step(i):
            logits = lm.next_logits(ids[:, :-1], lm.new_cache(work.batch))
            return below_largest(logits, ids[:, -1])

        return step
    cache = lm.new_cache(work.batch)
    lm.next_logits(ids[:, :START], cache)

    def step(i):
        at = START + i % work.steps
        if at == START:
            cache.crop(START)
        logits = lm.next_logits(ids[:, at : at + 1], cache)
        return below_largest(logits, ids[:, at + 1])

    return step


def transformers_inference(
    job: dict[str, Any], data: bytes | None = None, comm: Any = None
) -> Callable:
    """The same of transformers, from weights saved in its layout: job["folder"]."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    load = transformers.AutoModelForCausalLM.from_pretrained
    model = load(job["folder"], dtype=torch.float32).eval()
    work = WORKS[job["work"]]
    ids = work.ids(model.config.vocab_size)
    state = {}

    def read(columns, cache):
        with torch.inference_mode(), warnings.catch_warnings():
            # Its newest versions rename the parameter past_key_values, which older ones need.
            warnings.simplefilter("ignore", FutureWarning)
            # the output layer for the last position only, as in tinylm
            out = model(
                torch.from_numpy(ids[:, columns]),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        state["cache"] = out.past_key_values
        return below_largest(out.logits[:, -1].numpy(), ids[:, columns.stop])

    if work.steps == 1:
        return lambda i: read(slice(0, work.tokens), None)
    read(slice(0, START), None)

    def step(i):
        at = START + i % work.steps
        if at == START and i:
            state["cache"].crop(-work.steps)  # takes so many away
        return read(slice(at, at + 1), state["cache"])

    return step
