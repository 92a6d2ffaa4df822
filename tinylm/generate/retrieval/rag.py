"""Retrieval-augmented generation: look up, put what was found before the question, go on (book eq.
2.69; Lewis et al. 2020).

x' = g(c_1, .., c_k, x) and then Pr(y | x'): only the input changes, any retriever and any language
model will do. Read next: measure/compression.py.
"""

from tinylm.generate.loop import generate_text
from tinylm.generate.protocol.score import conditional_logprob

BLANK = "_____"  # where the model writes


def fill_template(pieces, x):
    """The book's template with its slots filled: message, input, and the blank.

    pieces   list of str, most relevant first; none: the message line is left out, the model answers
             by itself
    returns  str, "message = c_1 ... c_k", "input: x", "output: _____" on a line each
    """
    message = [f"message = {' '.join(pieces)}"] if pieces else []
    return "\n".join([*message, f"input: {x}", f"output: {BLANK}"])


def rag_prompt(pieces, x):
    """x' of eq. 2.69: the filled template up to the blank."""
    return fill_template(pieces, x).removesuffix(BLANK)


class RAG:
    """A language model that looks things up.

    lm         a model of tinylm.models, or a language model (protocol/language_model.py)
    tokenizer  of the model
    retriever  has search(query, k) -> [(document number, score)] and documents: InvertedIndex
    k          pieces put before the input; 0 is the plain model
    expand     function from the input to the query, or None: the input itself (bm25.expand_query)
    bos        id put before the prompt, or None
    """

    def __init__(self, lm, tokenizer, retriever, k=1, expand=None, bos=None):
        self.lm = lm
        self.tokenizer = tokenizer
        self.retriever = retriever
        self.k = k
        self.expand = expand
        self.bos = bos

    def retrieve(self, x):
        """The pieces for an input, most relevant first."""
        query = self.expand(x) if self.expand else x
        found = self.retriever.search(query, self.k) if self.k else []
        return [self.retriever.documents[i] for i, _ in found]

    def prompt(self, x):
        """x' for an input."""
        return rag_prompt(self.retrieve(x), x)

    def answer(self, x, max_tokens, **options):
        """Generate the output: str. Options as in `generate_text`."""
        return generate_text(
            self.lm, self.tokenizer, self.prompt(x), max_tokens, bos=self.bos, **options
        )

    def logprob(self, x, y):
        """log Pr(y | x') of an output text."""
        start = [] if self.bos is None else [self.bos]
        return conditional_logprob(
            self.lm, [*start, *self.tokenizer.encode(self.prompt(x))], self.tokenizer.encode(y)
        )
