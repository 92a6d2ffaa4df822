"""Tasks of language processing by prompting   (book section 3.1.4).

In order: labels.py (from a reply to a label), classification.py (three ways to classify, eq. 3.1),
verbalizer.py and masked_cloze.py (words that stand for labels, with a causal and a masked model),
extraction.py (names, entities, relations).
"""

from tinylm.prompt.tasks.classification import (
    ClassificationPrompt,
    classify_by_cloze,
    classify_by_scores,
    classify_generated,
)
from tinylm.prompt.tasks.extraction import (
    extract,
    extract_entities,
    extract_names,
    extract_relations,
)
from tinylm.prompt.tasks.labels import LabelMapper, Mapped, compliance_rate
from tinylm.prompt.tasks.masked_cloze import MaskedCloze, classify_by_mask
from tinylm.prompt.tasks.verbalizer import classify_by_verbalizer

__all__ = [
    "ClassificationPrompt",
    "LabelMapper",
    "Mapped",
    "MaskedCloze",
    "classify_by_cloze",
    "classify_by_mask",
    "classify_by_scores",
    "classify_by_verbalizer",
    "classify_generated",
    "compliance_rate",
    "extract",
    "extract_entities",
    "extract_names",
    "extract_relations",
]
