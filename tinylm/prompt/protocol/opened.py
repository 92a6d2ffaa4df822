"""A model with all that its prompts need: tokenizer, chat template, the ids that begin and end a
text.

Runs of `tinylm train` and `tinylm finetune`, and published weights: a name, a file, or a folder.
Read next: model.py, prompts and replies as text.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylm.errors import CheckpointError, ConfigError
from tinylm.models.decoder.gpt import GPT

if TYPE_CHECKING:
    from tinylm.models.published.chat.builtin import ChatTemplate
    from tinylm.models.published.load import PublishedModel
    from tinylm.train.run.config import TrainConfig

BITS = {"32": None, "8": 8, "4": 4}


@dataclass(frozen=True)
class Opened:
    """A language model, ready to generate.

    lm         language model (generate/protocol/language_model.py)
    tokenizer  of its ids
    template   ChatTemplate, or None for a model that only continues texts
    eos        id that ends a text, or None
    start      id that a text without a prompt begins with, or None
    begin      ids put before every text
    ends       all ids that end the model's output
    wanted     fields of Sampling that the model's files recommend
    """

    lm: Any
    tokenizer: Any
    template: "ChatTemplate | None"
    eos: int | None
    start: int | None
    begin: tuple
    ends: tuple
    wanted: dict

    def prompt_ids(self, text: str) -> list[int]:
        """The ids of a text to continue; for an empty text the id that begins one."""
        ids = [*self.begin, *self.tokenizer.encode(text).tolist()]
        return ids or [self.start]

    def sampling(self, options: Any, given: Any, answers: bool) -> dict[str, float | None]:
        """The fields of Sampling: those given by the user, else those that the files recommend.

        options  Sampling
        given    names of the options that were given
        answers  True for a turn of a conversation: greedy, unless an option or the files differ
        returns  dict
        """
        wanted = {name: value for name, value in self.wanted.items() if name not in given}
        chosen = vars(options) | wanted
        if answers and "temperature" not in self.wanted and not set(given) & set(vars(options)):
            chosen["temperature"] = 0.0
        return chosen


def is_published(name: str) -> bool:
    """True for a known name, a file of weights, or a folder in Hugging Face's layout."""
    from tinylm.models.published.formats.found import PUBLISHED
    from tinylm.models.published.formats.safetensors import INDEX, SINGLE

    path = Path(name)
    return (
        name in PUBLISHED
        or path.suffix in (".gguf", ".safetensors")
        or any((path / file).is_file() for file in (SINGLE, INDEX))
    )


def check_there(name: str | Path) -> None:
    """Raise CheckpointError, with the names that are known, if there is nothing of that name."""
    from tinylm.models.published.formats.found import PUBLISHED

    if name in PUBLISHED or Path(name).exists():
        return
    known = [f"{name} ({package.what})" for name, package in PUBLISHED.items()]
    if name == "RUN":
        raise CheckpointError(
            "RUN stands for the directory that `tinylm train` has printed, or for a name of "
            f"published weights: {', '.join(PUBLISHED)}"
        )
    near = difflib.get_close_matches(str(name).lower(), PUBLISHED, n=1, cutoff=0.7)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise CheckpointError(
        f"no run at {str(name)!r}, and no weights{meant}: give the directory that `tinylm train` "
        f"printed, a file of weights, or the name of published ones: {'; '.join(known)}. Nothing "
        "is downloaded"
    )


@dataclass(frozen=True)
class Read:
    """A model as its files have it, of whatever kind.

    model, tokenizer
    config      TrainConfig of a run; None for published weights
    published   PublishedModel; None for a run
    """

    model: Any
    tokenizer: Any
    config: "TrainConfig | None" = None
    published: "PublishedModel | None" = None


def read_model(name: str) -> Read:
    """A run or published weights, of whatever kind of model.

    name     path of a run, or what is_published() accepts
    returns  Read
    raises   TinylmError if there is no model, or no tokenizer with it
    """
    check_there(name)
    if not is_published(name):
        from tinylm.train import load_run

        return Read(*load_run(name))
    from tinylm.models.published.load import load_pretrained

    published = load_pretrained(name)
    if published.tokenizer is None:
        raise ConfigError(
            f"{published.path} has no tokenizer beside it (tokenizer.json, tokenizer.model, "
            "...); in Python, tinylm.models.published.load.load_pretrained gives the model"
        )
    return Read(published.model, published.tokenizer, None, published)


def open_model(name: str, device: str = "cpu", bits: int | None = None) -> Opened:
    """Open a run or published weights.

    name     path of a run, or what is_published() accepts
    device   to compute on
    bits     None, or 8 or 4: store the weights in so many bits while decoding, on the CPU
    returns  Opened
    raises   TinylmError if there is no model, no tokenizer with it, or the model is no decoder
    """
    from tinylm.backend import backend

    backend(device)  # raises here if the device is missing
    return open_decoder(name, read_model(name), device, bits)


def open_decoder(name: str, found: Read, device: str = "cpu", bits: int | None = None) -> Opened:
    """A model that was read, as a decoder: Opened.

    found    Read
    others   as in open_model
    """
    from tinylm.generate import as_language_model
    from tinylm.generate.fast.by_columns import by_columns
    from tinylm.generate.fast.direct import DirectDecoder

    model, tokenizer, published = found.model, found.tokenizer, found.published
    if published is None:
        from tinylm.finetune.instruct.saved import template_of_run
        from tinylm.train.run.build import decoder_of

        model = decoder_of(model, found.config, tokenizer.vocab_size)
        end, template = tokenizer.special.get("<|endoftext|>"), template_of_run(name)
        eos = end
        begin = (end,)  # training texts are separated by <|endoftext|>
        if template:
            eos = _end(name, tokenizer, template, end)
        if template or end is None:
            begin = ()
        start = eos
        ends = _without_none([eos])
        wanted = {}
    else:
        from tinylm.finetune.export.folder import prompt_begin
        from tinylm.models.published.generation import read_generation

        template = published.template
        eos = published.special.get("eos", next(iter(published.ends), None))
        if template:
            eos = _end(name, tokenizer, template, eos)
        check_decoder(name, model)
        start = published.special.get("bos", eos)
        begin = published.begin or prompt_begin(published.path)
        wanted = read_generation(published.path)
        ends = _without_none([eos, *published.ends])
    model.to(device).eval()  # dropout stays off, and no step has to switch it off
    if bits is None:
        by_columns(model)
        lm = as_language_model(model)
    else:
        lm = DirectDecoder(model, bits)
    return Opened(lm, tokenizer, template, eos, start, begin, ends, wanted)


def _without_none(ids):
    """The different ids in their order."""
    return tuple(i for i in dict.fromkeys(ids) if i is not None)


def check_decoder(name: str, model: GPT) -> None:
    """Raise ConfigError for published weights that are not a decoder."""
    from tinylm.models import GPT
    from tinylm.models.encoder.seq2seq import Seq2Seq

    if isinstance(model, GPT):
        return
    instead = f'`tinylm fill {name} "... [MASK] ..."` shows what it predicts, if it has a head'
    if isinstance(model, Seq2Seq):
        instead = f'`tinylm generate {name} "text"` shows what it writes for a text'
    raise ConfigError(
        f"{name} is of type {type(model).__name__} and does not continue text, as decoders such as "
        f"GPT-2 and LLaMA do: {instead}; in Python, "
        "tinylm.models.published.load.load_pretrained gives the model"
    )


def _end(name, tokenizer, template, eos):
    """The id that ends an answer: the template's, or `eos` if it has none."""
    # The end of a template that is a Jinja program was found by trying, so it may be wrong.
    ours = getattr(template, "turns", None) is not None
    if template.end is None or not ours and template.end not in tokenizer.special:
        return eos
    if template.end not in tokenizer.special:
        raise CheckpointError(
            f"{name}: its tokenizer has no {template.end!r}, which ends an answer "
            f"in its chat template {template.name}"
        )
    return tokenizer.special[template.end]
