"""Where prompt and continuation meet: one rule for their tokens.

Evaluations differ most in the tokens at the seam. With byte-level BPE " Paris" is one token and
"Paris" another, and a prompt that ends in a space has a token that no text of the training data
has there. The rule here, the same for scoring and generating:

1. White space at the end of the prompt belongs to what follows: ("Answer: ", "Paris") is scored as
   ("Answer:", " Paris"). For generation it is taken off the prompt, and off a reply that begins
   with it, in which stop strings are looked for behind it.
2. Both are encoded together, as one text. If that begins with the prompt's own tokens, the rest
   are the continuation's.
3. Otherwise a token would lie across the seam and belong to neither: prompt and continuation are
   encoded apart, and `apart` is True. (The usual harness cuts the joint tokens at the length of
   the prompt's, which scores another text.)
4. The prompt begins with the tokens that the model's files put before every text. A prompt without
   any text is the token that begins a text; a model without one cannot score after nothing.
5. After a chat template, whose last token is special, both are apart by nature: no token crosses a
   special one.

Book section 3.1.4; EleutherAI's lm-evaluation-harness joins by rules 1 and 2. Read next:
prefix_store.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinylm.errors import DataError

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class Seam:
    """Token ids on both sides of a seam.

    prompt        list of int, at least one
    continuation  list of int, at least one
    apart         True where they were encoded apart although one text
    """

    prompt: list
    continuation: list
    apart: bool = False


def split_space(text: str) -> tuple[str, str]:
    """(text without the white space at its end, that white space)."""
    kept = text.rstrip()
    return kept, text[len(kept) :]


def prompt_ids(
    tokenizer: "Tokenizer", text: str, begin: tuple[int, ...] = (), start: int | None = None
) -> list[int]:
    """The ids of a prompt, whose white space at the end has been taken off: list of int.

    begin   ids before every text
    start   id that begins a text, used where there is nothing else
    raises  DataError for an empty prompt of a model without such a token
    """
    ids = [*begin, *tokenizer.encode(text).tolist()]
    if ids:
        return ids
    if start is None:
        raise DataError(
            "the prompt is empty, and this model has no token that begins a text: "
            "give a prompt with text in it, or the model such a token: start= of TextModel.of"
        )
    return [start]


def seam(
    tokenizer: "Tokenizer",
    prompt: str,
    continuation: str,
    begin: tuple[int, ...] = (),
    start: int | None = None,
) -> Seam:
    """The tokens of a prompt and of a continuation, by the rule above.

    prompt, continuation  str; the continuation not empty
    begin, start          as in prompt_ids
    returns               Seam
    raises                DataError for an empty continuation
    """
    prompt, space = split_space(prompt)
    continuation = space + continuation
    if not continuation:
        raise DataError("score: a continuation is empty: every text is followed by nothing")
    before = prompt_ids(tokenizer, prompt, begin, start)
    if not prompt:
        return Seam(before, tokenizer.encode(continuation).tolist())
    alone = before[len(begin) :]
    joint = tokenizer.encode(prompt + continuation).tolist()
    if joint[: len(alone)] == alone and len(joint) > len(alone):
        return Seam(before, joint[len(alone) :])
    return Seam(before, tokenizer.encode(continuation).tolist(), True)
