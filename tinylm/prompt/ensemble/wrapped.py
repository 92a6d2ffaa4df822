"""A prompt with demonstrations of its own, and a prompt in another language   (book section 3.2.4).

An ensemble has several prompts for one question, and the methods of this room give all of them the
same demonstrations. These two wrap a prompt, so that its members may differ in what they show
(ways 1 to 3 of diversity.py), or are the same prompt transformed, whose answers are transformed
back (way 5). Read next: diversity.py, voters.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinylm.prompt.protocol.text_lm import TextLM

if TYPE_CHECKING:
    from tinylm.data.read.items import Item


@dataclass(frozen=True)
class Shown:
    """A prompt that always shows these demonstrations, whatever a method gives to it.

    form            FewShotPrompt, or another object with its methods
    demonstrations  Items, in their order in the prompt
    """

    form: object
    demonstrations: tuple

    def prompt(self, item: "Item", demonstrations: "Sequence[Item]" = ()) -> str:
        """The prompt for a question after its own demonstrations: str."""
        return self.form.prompt(item, self.demonstrations)

    def continuation(self, item: "Item", answer: str) -> str:
        """What follows the prompt if this is the answer."""
        return self.form.continuation(item, answer)

    def stop_for(self, lm: TextLM, demonstrations: "Sequence[Item]" = ()) -> tuple[str, ...]:
        """The strings that end a model's answer after its own demonstrations."""
        return self.form.stop_for(lm, self.demonstrations)

    def read(self, reply: str, stop: str | Sequence[str] | None = None) -> str | None:
        """The answer in a reply, or None."""
        return self.form.read(reply, stop)


@dataclass(frozen=True)
class Transformed:
    """A prompt in another language: all of its text is translated, and its answers back.

    form   FewShotPrompt, Shown, or another object with their methods
    there  function: text -> text;  back  its inverse, for answers
    """

    form: object
    there: Callable
    back: Callable

    def prompt(self, item: "Item", demonstrations: "Sequence[Item]" = ()) -> str:
        """The prompt, translated: str."""
        return self.there(self.form.prompt(item, demonstrations))

    def continuation(self, item: "Item", answer: str) -> str:
        """What follows the translated prompt if this is the answer, translated too."""
        return self.there(self.form.continuation(item, answer))

    def stop_for(self, lm: TextLM, demonstrations: "Sequence[Item]" = ()) -> tuple[str, ...]:
        """The strings that end an answer, translated."""
        return tuple(self.there(string) for string in self.form.stop_for(lm, demonstrations))

    def read(self, reply: str, stop: str | Sequence[str] | None = None) -> str | None:
        """The answer in a reply, translated back, or None."""
        # Stop strings are those of the reply's language, so it is cut before it is translated.
        value = self.form.read(reply, stop)
        if value is None:
            return None
        return self.back(value)
