"""Amounts of training text of large models: the book's Table 2.3 (section 2.2.1), per parameter.

Two of the table's names are not the models of the papers it cites: "LLaMA2-65B" is LLaMA-65B
(Touvron et al. 2023a; LLaMA 2 has no such size) and "PaLM-450B" is PaLM with 540 billion parameters
(Chowdhery et al. 2022). Parameters are those of the papers. Hoffmann et al. 2022 found about 20
tokens a parameter best for a training budget; a model that must be cheap to run is trained longer.
Read next: data/mix/mixture.py.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Amount:
    """One row of the table.

    book        the name the book prints
    parameters  of the model meant
    tokens      (smallest, largest) number of tokens trained on, equal where one is given
    sources     what kinds of text
    """

    book: str
    parameters: float
    tokens: tuple
    sources: tuple

    @property
    def tokens_per_parameter(self) -> tuple[float, float]:
        """(smallest, largest) number of tokens for each parameter."""
        return tuple(n / self.parameters for n in self.tokens)


# fmt: off
TABLE_2_3 = (
    Amount("GPT3-175B", 175e9, (0.5e12, 0.5e12), ("webpages", "books", "Wikipedia")),
    Amount("Falcon-180B", 180e9, (3.5e12, 3.5e12), ("webpages", "books", "conversations", "code", "technical articles")),
    Amount("LLaMA2-65B", 65e9, (1.0e12, 1.4e12), ("webpages", "code", "Wikipedia", "books", "papers", "Q&As")),
    Amount("PaLM-450B", 540e9, (0.78e12, 0.78e12), ("webpages", "books", "conversations", "code", "Wikipedia", "news")),
    Amount("Gemma-7B", 7e9, (6e12, 6e12), ("webpages", "mathematics", "code")),
)
# fmt: on
