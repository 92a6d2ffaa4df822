"""Text transformation: translation, summaries of limited length, style   (book section 3.1.4.4).

The text is the item's question. A summary that is too long is no answer: the model tries again, and
after the last try the result is None. Read next: questions.py; generation.py.
"""

from collections.abc import Sequence

from tinylm.data.read.items import Item
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.tasks.demonstrated import ends, fit_demonstrated
from tinylm.prompt.tasks.generation import generate_until
from tinylm.prompt.template.constraints import max_words
from tinylm.prompt.template.library import LIBRARY


def translate(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    source: str = "English",
    target: str = "Spanish",
    seed: int = 0,
    max_tokens: int = 128,
) -> Answer:
    """Translate a text between languages, which are named.

    lm       TextLM
    item     Item, whose question is the text
    demonstrations  Items with their translations
    returns  Answer; None for an empty reply. details: "kept" and "dropped" demonstrations
    """
    template = LIBRARY["translate.following"].partial(source=source, target=target)
    return _transformed(lm, template, item, demonstrations, seed, max_tokens)


def summarize(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    limit: int = 50,
    tries: int = 4,
    seed: int = 0,
    max_tokens: int = 128,
) -> Answer:
    """Summarize a text in no more than `limit` words.

    limit    stands in the prompt, and is checked
    tries    most replies; of a reply that is too long the answer is not cut, as that would not be a
             summary of the whole
    returns  Answer; None if all replies are too long. details as in generate_until
    """
    check_counts("summarize", limit=limit, tries=tries)
    template = LIBRARY["summarize"].partial(limit=str(limit))
    fitted = fit_demonstrated(lm, template, item, demonstrations, max_tokens)
    stop = ends(lm, fitted.kept)
    answer = generate_until(lm, fitted.text, [max_words(limit)], tries, seed, max_tokens, stop)
    answer.details.update(fitted.details)
    return answer


def rewrite(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    style: str = "formal",
    seed: int = 0,
    max_tokens: int = 128,
) -> Answer:
    """Rewrite a text in another style. Arguments and result as in translate."""
    template = LIBRARY["rewrite"].partial(style=style)
    return _transformed(lm, template, item, demonstrations, seed, max_tokens)


def _transformed(lm, template, item, demonstrations, seed, max_tokens):
    fitted = fit_demonstrated(lm, template, item, demonstrations, max_tokens)
    stop = ends(lm, fitted.kept)
    reply = lm.complete(fitted.text, stop=stop, seed=seed, max_tokens=max_tokens)
    return Answer(lm.parsed("text", reply.text.strip() or None), reply.text, fitted.details)
