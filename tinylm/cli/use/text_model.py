"""The model of `tinylm prompt` and `tinylm rag`: its settings, and how it is opened.

Read next: prompt/protocol/text_lm.py, which is what both commands use it by.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tinylm.errors import ConfigError
from tinylm.settings import one_of, setting

if TYPE_CHECKING:
    from tinylm.prompt.protocol.model import TextModel


@dataclass
class TextModelConfig:
    """Settings of a model that completes and scores texts."""

    raw: bool = setting(False, "continue the prompt as plain text, without the chat template")
    system: str = setting("", "the system message; none: the one of the model's chat template")
    device: str = setting("cpu", "cpu or gpu")
    bits: str = setting("32", "bits of a weight while decoding: 32, 8 or 4", one_of("32", "8", "4"))


def identity(name: str, config: TextModelConfig, lm: "TextModel") -> dict[str, Any]:
    """What tells one model from another, for a file of answers: dict of plain values.

    name, config  as open_text_model
    lm            TextLM
    """
    # The same run has other weights after more training: its checkpoint, and a hash of them.
    return {"model": name, **asdict(config), "checkpoint": checkpoint_of(name)} | {
        "weights": lm.weights()
    }


def checkpoint_of(name: str) -> str:
    """The name of a run's checkpoint, "step-000300"; "" for published weights."""
    from tinylm.prompt.protocol.opened import is_published
    from tinylm.train.checkpoint import find_run

    if is_published(name):
        return ""
    return find_run(name)[1].name


def open_text_model(name: str, config: TextModelConfig) -> "TextModel":
    """The model behind the text protocol.

    name     a run, or published weights
    config   TextModelConfig
    returns  TextModel
    raises   ConfigError for a system message of a model that continues texts
    """
    from tinylm.prompt import TextModel
    from tinylm.prompt.protocol.opened import BITS

    if config.raw and config.system:
        raise ConfigError(
            "--system is a message of a chat, and --raw continues a text: leave one of them out"
        )
    chat = None  # as the model's files have it
    if config.raw:
        chat = False
    # False: continue the text; None: as the model was tuned.
    lm = TextModel.open(name, config.device, BITS[config.bits], chat=chat)
    if config.system:
        if not lm.chat:
            raise ConfigError(
                f"--system: {name} has no chat template, so it continues texts; leave it out, or "
                "put the words into the question"
            )
        lm.system = config.system
    return lm
