"""Retrieval-augmented generation: retrieve texts, put them before the question, generate   (book
eq. 2.69; Lewis et al. 2020).

x' = g(c_1, .., c_k, x), then Pr(y | x'): only the input changes, so any retriever works with any
language model. Read next: measure/compression.py.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinylm.generate.loop import generate_text
from tinylm.generate.protocol.language_model import Model
from tinylm.generate.protocol.score import conditional_logprob

if TYPE_CHECKING:
    from tinylm.generate.retrieval.bm25 import InvertedIndex
    from tinylm.tokenizers.base import Tokenizer


BLANK = "_____"  # where the model writes


def fill_template(pieces: Sequence[str], x: str) -> str:
    """The book's template with its slots filled: message, input, and the blank.

    pieces   list of str, most relevant first; if empty, there is no message line
    returns  str, "message = c_1 ... c_k", "input: x", "output: _____" on a line each
    """
    lines = [f"input: {x}", f"output: {BLANK}"]
    if pieces:
        lines.insert(0, f"message = {' '.join(pieces)}")
    return "\n".join(lines)


def rag_prompt(pieces: Sequence[str], x: str) -> str:
    """x' of eq. 2.69: the filled template up to the blank."""
    return fill_template(pieces, x).removesuffix(BLANK)


class RAG:
    """A language model that answers with retrieved texts in its prompt.

    lm         a model of tinylm.models, or a language model (protocol/language_model.py)
    tokenizer  of the model
    retriever  has search(query, k) -> [(document number, score)] and documents: InvertedIndex
    k          pieces put before the input; 0 is the plain model
    expand     function from the input to the query, or None: the input itself (bm25.expand_query)
    bos        id put before the prompt, or None
    """

    def __init__(
        self,
        lm: Model,
        tokenizer: "Tokenizer | None",
        retriever: "InvertedIndex",
        k: int = 1,
        expand: Callable | None = None,
        bos: int | None = None,
    ) -> None:
        self.lm = lm
        self.tokenizer = tokenizer
        self.retriever = retriever
        self.k = k
        self.expand = expand
        self.bos = bos

    def retrieve(self, x: str) -> list[str]:
        """The pieces for an input, most relevant first."""
        if self.k == 0:
            return []
        query = self.expand(x) if self.expand else x
        return [self.retriever.documents[i] for i, _ in self.retriever.search(query, self.k)]

    def prompt(self, x: str) -> str:
        """The prompt x' for an input x: the pieces that were retrieved, and x."""
        return rag_prompt(self.retrieve(x), x)

    def answer(self, x: str, max_tokens: int, **options: int) -> str:
        """Generate the output: str. Options as in `generate_text`."""
        return generate_text(
            self.lm, self.tokenizer, self.prompt(x), max_tokens, bos=self.bos, **options
        )

    def logprob(self, x: str, y: str) -> float | np.ndarray:
        """log Pr(y | x') of an output text."""
        context = self.tokenizer.encode(self.prompt(x))
        if self.bos is not None:
            context = [self.bos, *context]
        # x' and y are encoded apart: a token that spans both would belong to neither.
        return conditional_logprob(self.lm, context, self.tokenizer.encode(y))
