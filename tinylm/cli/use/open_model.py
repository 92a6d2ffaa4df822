"""What `tinylm generate` and `tinylm chat` are pointed at: a run of `tinylm train`, or weights that
others published.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from tinylm.errors import CheckpointError, ConfigError

BITS = {"32": None, "8": 8, "4": 4}


@dataclass(frozen=True)
class Opened:
    """A language model ready to be asked.

    lm         language model (generate/protocol/language_model.py)
    tokenizer  of its ids
    template   ChatTemplate, or None for a model that only continues texts
    eos        id that ends a text, or None
    start      id from which a text of its own begins, or None
    begin      ids that belong before every text
    ends       all the ids that end what the model says
    wanted     fields of Sampling that its files want
    """

    lm: object
    tokenizer: object
    template: object
    eos: int | None
    start: int | None
    begin: tuple
    ends: tuple
    wanted: dict

    def prompt_ids(self, text):
        """The ids of a text to continue; of no text the id that begins one."""
        ids = [*self.begin, *self.tokenizer.encode(text).tolist()]
        return ids or [self.start]

    def sampling(self, options, given, asked):
        """The fields of Sampling: what was given, else what the model's files want.

        options  Sampling
        given    names of the options that were given
        asked    an answer is wanted: the most probable one, unless something else is said
        returns  dict
        """
        greedy = asked and "temperature" not in self.wanted and not set(given) & set(vars(options))
        wanted = {name: value for name, value in self.wanted.items() if name not in given}
        return vars(options) | wanted | ({"temperature": 0.0} if greedy else {})


def is_published(name):
    """True for a name of formats.PUBLISHED, a file of weights, or a folder in Hugging Face's
    layout.
    """
    from tinylm.models.published.formats.found import PUBLISHED
    from tinylm.models.published.formats.safetensors import INDEX, SINGLE

    path = Path(name)
    return (
        name in PUBLISHED
        or path.suffix in (".gguf", ".safetensors")
        or any((path / file).is_file() for file in (SINGLE, INDEX))
    )


def open_model(name, device="cpu", bits=None):
    """Open a run or published weights.

    name     path of a run, or what is_published() accepts
    device   to compute on
    bits     None, or 8 or 4: keep the weights in so many while decoding, on the CPU
    returns  Opened
    raises   TinylmError if there is nothing, or no tokenizer with it
    """
    from tinylm.backend import backend
    from tinylm.generate import as_language_model
    from tinylm.generate.fast.direct import DirectDecoder

    backend(device)
    if not is_published(name):
        from tinylm.finetune.instruct.saved import template_of_run
        from tinylm.train import load_run
        from tinylm.train.run.build import decoder_of

        model, tokenizer, config = load_run(name)
        model = decoder_of(model, config, tokenizer.vocab_size)
        end, template = tokenizer.special.get("<|endoftext|>"), template_of_run(name)
        eos = _end(name, tokenizer, template, end) if template else end
        wanted, start = {}, eos
        begin = () if template or end is None else (end,)
        ends = () if eos is None else (eos,)
    else:
        from tinylm.finetune.export.folder import prompt_begin
        from tinylm.models.published.generation import read_generation
        from tinylm.models.published.load import load_pretrained

        published = load_pretrained(name)
        model, tokenizer, template = published.model, published.tokenizer, published.template
        if tokenizer is None:
            raise ConfigError(
                f"{published.path} has no tokenizer beside it (tokenizer.json, tokenizer.model, ...); in Python, "
                "tinylm.models.published.load.load_pretrained gives the model alone"
            )
        eos = published.special.get("eos", next(iter(published.ends), None))
        if template:
            eos = _end(name, tokenizer, template, eos)
        check_decoder(name, model)
        start = published.special.get("bos", eos)
        begin = published.begin or prompt_begin(published.path)
        wanted = read_generation(published.path)
        ends = tuple(dict.fromkeys([*([] if eos is None else [eos]), *published.ends]))
    model.to(device)
    lm = as_language_model(model) if bits is None else DirectDecoder(model, bits)
    return Opened(lm, tokenizer, template, eos, start, begin, ends, wanted)


def check_decoder(name, model):
    """Refuse published weights that do not go on with a text."""
    from tinylm.models import GPT

    if not isinstance(model, GPT):
        raise ConfigError(
            f"{name} is of type {type(model).__name__} and does not go on with a text, as decoders such as GPT-2 "
            "and LLaMA do; tinylm.models.published.load.load_pretrained gives the model in Python"
        )


def _end(name, tokenizer, template, eos):
    """The id that ends an answer: the template's, or that of a text where it names none."""
    ours = getattr(template, "turns", None) is not None  # of a program, the end was looked for
    if template.end is None or not ours and template.end not in tokenizer.special:
        return eos
    if template.end not in tokenizer.special:
        raise CheckpointError(
            f"{name}: its tokenizer has no {template.end!r}, which ends an answer "
            f"in its chat template {template.name}"
        )
    return tokenizer.special[template.end]


class Timer:
    """Counts tokens and seconds of a stream: `for piece in timer.watch(pieces)`, the first apart,
    which reads the prompt.
    """

    def __init__(self):
        self.first, self.rest, self.count = 0.0, 0.0, 0

    def watch(self, tokens):
        """Hand on what `tokens` yields."""
        begun = time.perf_counter()
        for i, token in enumerate(tokens):
            now = time.perf_counter()
            if i:
                self.rest, self.count = self.rest + now - begun, self.count + 1
            else:
                self.first = now - begun
            yield token
            begun = time.perf_counter()

    def report(self, lm):
        """A line about speed and, for a model larger than the caches, the share of the machine's
        memory bandwidth.
        """
        from tinylm.generate.fast.direct import DirectDecoder, memory_bandwidth
        from tinylm.generate.fast.fastest import fastest

        if not self.count:
            return "too few tokens to tell a speed"
        text = f"{self.count / self.rest:.1f} tokens/s after {self.first:.2f} s for the prompt"
        decoder = fastest(lm)
        if not isinstance(decoder, DirectDecoder):
            return text
        nbytes, bandwidth = decoder.weight_bytes(), memory_bandwidth()
        rate = nbytes * self.count / self.rest
        return (
            f"{text}; each reads {nbytes / 1e6:.0f} MB of weights: {rate / 1e9:.1f} GB/s, "
            f"{rate / bandwidth:.0%} of the {bandwidth / 1e9:.1f} GB/s that this machine reads"
        )
