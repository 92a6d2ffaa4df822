"""Text transformation: translation, summaries of limited length, style   (book section 3.1.4.4).

The text is the item's question. A summary that is too long is no answer: the model tries again, and
after the last try the result is None. Read next: questions.py; generation.py.
"""

from tinylm.prompt.answer import Answer
from tinylm.prompt.tasks.generation import generate_until
from tinylm.prompt.template.constraints import max_words
from tinylm.prompt.template.library import LIBRARY


def translate(
    lm, item, demonstrations=(), *, source="English", target="Spanish", seed=0, max_tokens=128
):
    """Translate a text between languages, which are named: Answer.

    demonstrations  Items with their translations, shown before in the same words
    """

    def filled(text):
        return LIBRARY["translate.following"].format(source=source, target=target, text=text)

    # Each pair as the prompt itself will look, and an empty line, which ends the reply.
    shown = "".join(f"{filled(demo.question)}\n{demo.answer}\n\n" for demo in demonstrations)
    return _transformed(lm, shown + filled(item.question) + "\n", seed, max_tokens)


def summarize(lm, item, demonstrations=(), *, limit=50, tries=4, seed=0, max_tokens=128):
    """Summarize a text in no more than `limit` words.

    tries    most replies; of a reply that is too long the answer is not cut, as that would not be a
             summary of the whole
    returns  Answer; None if all replies are too long. details as in generate_until
    """
    prompt = LIBRARY["summarize"].format(limit=str(limit), text=item.question)
    return generate_until(lm, prompt + "\n", [max_words(limit)], tries, seed, max_tokens)


def rewrite(lm, item, demonstrations=(), *, style="formal", seed=0, max_tokens=128):
    """Rewrite a text in another style: Answer."""
    prompt = LIBRARY["rewrite"].format(style=style, text=item.question)
    return _transformed(lm, prompt + "\n", seed, max_tokens)


def _transformed(lm, prompt, seed, max_tokens):
    reply = lm.complete(prompt, stop=("\n\n",), seed=seed, max_tokens=max_tokens)
    return Answer(lm.parsed("text", reply.text.strip() or None), reply.text)
