"""Examples that teach a model to answer from texts, and to refuse   (book section 3.2.5).

A model that only ever saw the right text learns to copy from any text, and never to refuse. So each
example has texts that do not answer (distractors) beside the one that does, in random order; and in
some the right text is missing, and the answer is "No answer!" (Zhang et al. 2024 mix in this way;
the refusals are the book's). Read first: prompt.py; read next:
finetune/instruct/instructions.py.
"""

from collections.abc import Callable, Sequence

from tinylm.backend import Random
from tinylm.data.read.instructions import Instruction
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.instruct.conversations import Encoded, encode_sft
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt.evaluation.judge import contains_answer
from tinylm.prompt.protocol.seam import seam
from tinylm.prompt.rag.prompt import NO_ANSWER, RagPrompt
from tinylm.tokenizers.base import Tokenizer

FORM = RagPrompt()
DEPTH = 50  # results of a retriever among which hard distractors are looked for


def rag_examples(
    items: Sequence[Item],
    pool: Sequence[str],
    *,
    texts: int = 4,
    unanswerable: float = 0.25,
    gold: Callable = lambda item: item.context,
    retriever: InvertedIndex | None = None,
    form: RagPrompt = FORM,
    seed: int = 0,
) -> list[Instruction]:
    """Prompts with their answers, for fine-tuning.

    items         Items with answers
    pool          list of str, from which distractors are taken: any text without the answer
    texts         in each prompt
    unanswerable  share of the examples whose right text is left out; rounded to whole examples
    gold          function from an Item to the text that answers it
    retriever     over the pool: its best results that do not answer are the distractors; None: they
                  are drawn at random
    form          RagPrompt; with `cite` an answer has the number of its text behind it, "Oslo [2]"
    returns       list of Instruction in the order of the items
    raises        ConfigError for shares or counts that cannot be; DataError if the pool has too few
                  distractors for an item
    """
    if texts < 1 or not 0 <= unanswerable <= 1:
        raise ConfigError(
            f"rag_examples: texts {texts} must be 1 or more, and unanswerable {unanswerable} from "
            "0 to 1"
        )
    items = list(items)
    rng = Random(seed, "rag examples")
    order = rng.permutation(len(items))
    # An exact share: of few examples a coin for each could leave out all refusals.
    without = set(order[: round(unanswerable * len(items))].tolist())
    found = []
    for number, item in enumerate(items):
        right, answer = [gold(item)], item.answer
        if number in without or answer == NO_ANSWER:
            right, answer = [], NO_ANSWER
        # n texts in each prompt, so that their number does not show whether one is right.
        given = right + _distractors(item, gold(item), pool, texts - len(right), retriever, rng)
        # Anywhere in the prompt, so that no place is the right one.
        given = [given[i] for i in rng.permutation(len(given))]
        if form.cite and right:
            answer = f"{answer} [{given.index(right[0]) + 1}]"
        found.append(Instruction(form.prompt(item.question, given), answer, task="rag"))
    return found


def encode_rag(
    tokenizer: Tokenizer,
    examples: Sequence[Instruction],
    begin: tuple[int, ...] = (),
    end: int | None = None,
) -> list[Encoded]:
    """Examples as tokens with the loss on the answers alone, for a model that continues texts.

    For a chat model, finetune.instruct.conversations.encode_samples does the same with its
    template.

    examples  of rag_examples
    begin     ids before every text;  end  id that ends an answer, or None
    returns   list of Encoded, with the tokens of the same prompt at inference (protocol/seam.py)
    """
    found = []
    for example in examples:
        # The loss is -log Pr(y | x, z), on the answer alone.
        joint = seam(tokenizer, example.user, f" {example.output}", begin)
        answer = list(joint.continuation)
        if end is not None:
            answer.append(end)
        found.append(encode_sft(joint.prompt, answer))
    return found


def _distractors(item, right, pool, count, retriever, rng):
    """Different texts of the pool that do not answer the question."""
    if retriever is not None:
        numbers = [number for number, _ in retriever.search(item.question, DEPTH)]
        candidates = [retriever.documents[i] for i in numbers]
    else:
        candidates = [pool[i] for i in rng.permutation(len(pool))]
    chosen = []
    # A retriever may find too few: the rest of the pool follows, in its order.
    for text in [*candidates, *pool]:
        if len(chosen) == count:
            break
        answers = item.answer != NO_ANSWER and contains_answer(text, item.answer)
        if text != right and text not in chosen and not answers:
            chosen.append(text)
    if len(chosen) < count:
        raise DataError(
            f"rag_examples: the pool has {len(chosen)} texts without the answer to "
            f"{item.question!r:.60}, and {count} are needed: give more texts"
        )
    return chosen
