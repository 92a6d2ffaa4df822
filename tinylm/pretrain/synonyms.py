"""What else the objectives are called: by papers, by their models, and by users of other programs.

`tinylm train --objective mlm` trains `masked`. A run keeps the name of OBJECTIVES, so that nothing
else has to know the others. Read next: objectives.py.
"""

import difflib
from collections.abc import Collection

SYNONYMS = {
    "causal": ("clm", "lm", "gpt", "causal-lm", "autoregressive"),
    "prefix": ("prefix-lm", "prefixlm"),
    "fim": ("fill-in-the-middle",),
    "multi-token": ("mtp",),
    "masked": ("mlm", "masked-lm", "roberta"),
    "whole-word": ("wwm", "whole-word-masking"),
    "spans": ("span", "span-masking"),
    "span-boundary": ("spanbert", "sbo"),
    "translation": ("tlm", "xlm"),
    "permuted": ("plm", "xlnet"),
    "next-sentence": ("nsp",),
    "sentence-order": ("sop",),
    "bert": ("mlm-nsp",),
    "replaced": ("electra", "rtd"),
    "contrastive": ("simcse",),
    "text-infilling": ("infilling",),
    "sentinels": ("t5", "span-corruption"),
}
BY_SYNONYM = {other: name for name, others in SYNONYMS.items() for other in others}


def canonical(name: str) -> str:
    """The name in OBJECTIVES that a name or a synonym means, in any case and with _ for -.

    An unknown name is returned in lower case, and what is no text as it is.
    """
    if not isinstance(name, str):
        return name
    plain = name.strip().lower().replace("_", "-")
    return BY_SYNONYM.get(plain, plain)


def near_names(name: str, known: Collection[str]) -> list[str]:
    """The names and synonyms closest to an unknown one, [] for none.

    known    the names in OBJECTIVES; beside a synonym the name that it means is given in brackets
    """
    near = difflib.get_close_matches(str(name).lower(), [*known, *BY_SYNONYM], n=3, cutoff=0.4)
    shown = []
    for one in near:
        if one in BY_SYNONYM:
            one = f"{one} ({BY_SYNONYM[one]})"
        shown.append(one)
    return shown
