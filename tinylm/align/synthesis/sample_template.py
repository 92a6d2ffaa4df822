"""Samples for fine-tuning from labeled data: a template with slots in instruction, input and output
(book section 4.2.2.1).

    Instruction  Translate the text from English to Chinese.
    User Input   {text}
    Output       {translation}

Filled with pairs of a corpus it gives as many samples. Slots are written {*text*} here, as in
finetune/instruct/prompt_template.py, and filled in one pass: braces in a value stay braces. Read
next: tasks.py, tasks with several templates each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinylm.data.read.instructions import Instruction
from tinylm.errors import DataError
from tinylm.finetune.instruct.prompt_template import PromptTemplate


@dataclass(frozen=True)
class SampleTemplate:
    """A sample with slots.

    instruction, input, output  str with slots {*name*}; the input may be ""
    task                        name of the task, for mixtures
    raises                      ConfigError for what is no slot, see PromptTemplate
    """

    instruction: str
    input: str = ""
    output: str = "{*output*}"
    task: str = ""

    def __post_init__(self) -> None:
        self.parts()

    def parts(self) -> tuple[PromptTemplate, ...]:
        """The PromptTemplates of instruction, input and output."""
        return tuple(PromptTemplate(text) for text in (self.instruction, self.input, self.output))

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the slots, in the order of appearance, each once."""
        return tuple(dict.fromkeys(name for part in self.parts() for name in part.slots))

    def fill(self, **values: str) -> Instruction:
        """The sample of a record: Instruction.

        values  str for each slot
        raises  DataError for a slot without a value, or a value without a slot
        """
        missing, extra = set(self.slots) - set(values), set(values) - set(self.slots)
        if missing or extra:
            raise DataError(
                f"SampleTemplate: its slots are {', '.join(self.slots)}; without a value: "
                f"{sorted(missing)}, without a slot: {sorted(extra)}"
            )
        filled = []
        for part in self.parts():
            filled.append(part.format(**{name: values[name] for name in part.slots}))
        instruction, given, output = filled
        return Instruction(instruction, output, given, task=self.task)


# The book's template for translation.
TRANSLATION = SampleTemplate(
    "Translate the text from English to Chinese.", "{*text*}", "{*translation*}", "translation"
)


def from_template(template: SampleTemplate, records: Sequence[dict[str, str]]) -> list[Instruction]:
    """A sample for each record: list of Instruction.

    template  SampleTemplate
    records   dicts with a value for each slot
    """
    return [template.fill(**record) for record in records]
