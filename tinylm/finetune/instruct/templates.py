"""The book's templates for tuning on instructions.

One task has many phrasings; a model tuned on several also follows others. Book sections 2.1.3 and
4.2. Read first: prompt_template.py; read next: instructions.py; data/read/instructions.py;
prompt/tasks/classification.py, which chooses an answer by its probability.
"""

from typing import TYPE_CHECKING

from tinylm.finetune.instruct.prompt_template import PromptTemplate

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


# A question, three phrasings of one binary task, and three styles for translation.
_TEXTS = {
    "grammar.question": (
        "{*sentence*}\nQuestion: Is this sentence grammatically correct?\nAnswer: _____"
    ),
    "grammar.read": (
        "Read the following sentence, and answer whether it is grammatically correct.\n{*sentence*}"
    ),
    "grammar.choices": (
        "{*sentence*}\nDoes this sentence make sense grammatically?\nAnswer Choices\n- Yes\n- No"
    ),
    "grammar.yes_or_no": (
        "Yes or No? Yes = the following sentence is grammatically correct. "
        "No = it contains grammatical errors.\n{*sentence*}"
    ),
    "translate.question": (
        "{*sentence*}\nQuestion: What is the Chinese translation of this English sentence?\n"
        "Answer: _____"
    ),
    "translate.instruction": (
        "{*sentence*}\nTranslate this sentence from English into Chinese.\n_____"
    ),
    "translate.code": (
        "[src-lang] = English [tgt-lang] = Chinese [input] = {*sentence*}\n[output] = _____"
    ),
    "translate.full": "Translate the following sentence from English to Chinese.\n{*sentence*}",
    "translate.short": "Translate English to Chinese.\n{*sentence*}",
    "translate.word": "Translate!\n{*sentence*}",
    # Fields in columns, as section 4.2 prints instruction, input and the place of the output.
    "fields": ("Instruction   {*instruction*}\nInput         {*input*}\nOutput        _____"),
}
TEMPLATES = {name: PromptTemplate(text) for name, text in _TEXTS.items()}


def with_system(prompt: str, system: str) -> str:
    """A plain prompt after system information about behavior   (book section 2.1.3, footnote 5)."""
    if system:
        return f"{system}\n{prompt}"
    return prompt


def tokens_saved(tokenizer: "Tokenizer", long: str, short: str, prompts: int) -> tuple[int, float]:
    """Tokens saved in `prompts` uses by a shorter instruction   (book section 3.3.2)

    returns  (tokens, share of the long instruction's tokens)
    """
    tokens_long, tokens_short = len(tokenizer.encode(long)), len(tokenizer.encode(short))
    saved = tokens_long - tokens_short
    return saved * prompts, saved / tokens_long
