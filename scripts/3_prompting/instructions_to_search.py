"""The instructions that prompt_search.py searches, and the small model that it trains.

A space of 4 x 3 x 2 sentences, an instruction by hand outside of it, and a GPT of two layers that
has learnt to label reviews after a single instruction: another model, for which the words of a
prompt may matter less. Book section 3.3.1. Read next: prompt_search.py.
"""

from reviews_to_label import LABELS
from small_runs import small_gpt

from tinylm.finetune import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.prompt import TextModel
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.optimize import PromptSpace
from tinylm.tokenizers import WordTokenizer

BATCH, RATE = 16, 3e-3
FORM = FewShotPrompt()
SPACE = PromptSpace(
    (
        "",
        "You read what customers write. ",
        "Here is a review of a product, a film or a restaurant. ",
        "You are an expert in sentiment analysis. ",
    ),
    (
        "Is it positive or negative?",
        "Decide whether the writer is satisfied.",
        "Label the review as positive or negative.",
    ),
    ("", " Answer with one word."),
)
# By hand, and outside of the space. It has as many paraphrases by synonyms as a search may try.
HAND = "Decide whether the following text is positive or negative."


def trained_here(items, steps, seed, device):
    """A GPT of two layers that has learnt to label reviews after one of the instructions."""
    texts = [item.question for item in items]
    tokenizer = WordTokenizer.from_text("\n".join([*texts, *SPACE, "Q: A:", *LABELS]))
    model = small_gpt(tokenizer.vocab_size, 96, seed, positions="rope").to(device)
    known = SPACE.text([seed % 4, seed % 3, 0])  # another in each draw
    form = FewShotPrompt(known)
    examples = []
    for item in items:
        prompt = tokenizer.encode(form.prompt(item))
        examples.append(encode_sft(prompt, tokenizer.encode(item.answer)))
    settings = {"batch_size": BATCH, "learning_rate": RATE, "weight_decay": 0.1, "seed": seed}
    fit(model, InstructionTuning(), examples, steps=steps, **settings)
    return TextModel.of(model.eval(), tokenizer)
