"""`tinylm generate RUN "prompt"`: continue a text with a trained model, shown as it comes.

RUN is a run of `tinylm train`, a name of published weights (smollm2), a .gguf or .safetensors file,
or a folder in Hugging Face's layout. A model tuned on instructions gets the prompt as a user turn
of its chat template and answers greedily unless a sampling option is given; --raw continues the
text instead. Without a prompt the model starts a new text; the prompt "-" is read from the standard
input. An encoder-decoder (of the objectives sentinels, bart, ..) reads the text and writes its
answer to it: `tinylm generate RUN "To be or [MASK]"`. An encoder fills masks: `tinylm fill`.
"""

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tinylm.cli.options import parse, refuse
from tinylm.errors import ConfigError
from tinylm.reading import standard_input
from tinylm.settings import at_least, between, one_of, setting

EXAMPLES = (
    'tinylm generate RUN "The with statement"',
    ("tinylm generate RUN Note --temperature 0.7 --top-p 0.9 --num 3"),
    'tinylm generate smollm2 "What is the capital of Japan?" --stats',
    'tinylm generate RUN "Hello" --best-of 8 --reward RUN-reward',
)


@dataclass
class GenerateConfig:
    """Settings of `tinylm generate`, beside the fields of Sampling."""

    max_tokens: int = setting(200, "tokens to generate at most", at_least(0))
    stop: tuple[str, ...] = setting((), "end before this text; may be given several times")
    num: int = setting(1, "samples, each with a seed of its own", at_least(1))
    beams: int = setting(
        1,
        "above 1: beam search of this width instead of sampling; the text is shown at the end",
        between(1, 1000),  # beyond, a step scores more strings than a memory holds
    )
    length_penalty: float = setting(
        0.0, "with --beams: score = log-probability / tokens^penalty", between(0, 10)
    )
    best_of: int = setting(
        1, "above 1: draw so many samples and show the one with the greatest reward", at_least(1)
    )
    reward: str = setting("", "with --best-of: a run of `tinylm align reward`, or FILE.py:function")
    seed: int = setting(1337, "seed of the first sample; each further one adds 1")
    echo: bool = setting(True, "show the prompt before what follows it")
    device: str = setting("cpu", "cpu or gpu")
    raw: bool = setting(
        False, "continue the prompt as plain text, without the chat template of the model"
    )
    bits: str = setting("32", "bits of a weight while decoding: 32, 8 or 4", one_of("32", "8", "4"))
    stats: bool = setting(False, "print the speed and the share of the memory bandwidth in use")


def main(argv: Sequence[str]) -> None:
    """Print the prompt and the text that the model generates."""
    from tinylm.backend import backend
    from tinylm.generate import Sampling
    from tinylm.prompt.protocol.opened import BITS, open_decoder, read_model
    from tinylm.prompt.protocol.text_to_text import is_text_to_text

    # Options that were given, and not left at their defaults: only these override the model's files.
    given = {}
    config, sampling, (path, *prompt) = parse(
        argv,
        GenerateConfig,
        Sampling,
        positionals=("RUN", "[PROMPT]"),
        verb="generate",
        about=__doc__,
        examples=EXAMPLES,
        given=given,
    )
    check_effect(config, given)
    backend(config.device)  # raises here if the device is missing
    found, prompt = read_model(path), "".join(prompt)
    if is_text_to_text(found):
        _answer(path, found, prompt, config, sampling, given)
        return
    opened = open_decoder(path, found, config.device, BITS[config.bits])
    answers = opened.template is not None and not config.raw  # as a turn of a conversation
    sampling = opened.sampling(sampling, given, answers)
    prompt, start = _beginning(opened, prompt, answers)
    shown = prompt
    if answers or not config.echo:
        shown = ""
    if config.best_of > 1:
        from tinylm.cli.use.best_of import best_of

        question = [{"role": "user", "content": prompt}]
        print(shown + best_of(opened, question, start, config, sampling, given, _notice))
    else:
        # Recommendations of the model's files do not conflict with beams; options of the user do.
        _written(config, sampling, set(given) & set(sampling), opened, start, shown)


def _written(config, sampling, given, opened, start, shown):
    """Print beams or samples.

    sampling  dict of the fields of Sampling;  given  names of those that the user has set
    start     list of ids that are continued;  shown  the text before each of them
    """
    from tinylm.generate import Sampling

    if config.beams > 1:
        _beams(config, given, opened, start, shown)
        return
    if config.num > 1 and Sampling(**sampling).is_greedy:
        raise ConfigError(
            f"--num {config.num}: samples of the most probable tokens are all the same: give a "
            "--temperature above 0"
        )
    _samples(config, sampling, opened, start, shown)


def _answer(path, found, prompt, config, sampling, given):
    """What an encoder-decoder writes for a text: greedily, unless an option of sampling is given.

    found     Read
    sampling  Sampling;  given  {name: value} of the options that were given
    """
    from tinylm.prompt.protocol.text_to_text import open_answer

    reason = f"{path} is an encoder-decoder, and this is a setting of decoders"
    refuse(given, ("bits", "raw", "best_of"), reason, GenerateConfig)
    if prompt == "-":
        prompt = standard_input().rstrip("\n")
    found.model.to(config.device).eval()
    opened, start, shown = open_answer(path, found, prompt)
    if not config.echo:
        shown = ""
    chosen = dict(vars(sampling))
    if not set(given) & set(chosen) and config.num == 1:
        chosen["temperature"] = 0.0
    _written(config, chosen, set(given) & set(chosen), opened, start, shown)


def check_effect(config: GenerateConfig, given: dict[str, int]) -> None:
    """Raise ConfigError for an option that changes nothing beside the others.

    given  {name: value} of the options that were given
    """
    from tinylm.generate.sample import without_effect

    def refused(names, reason):
        refuse(given, names, reason, GenerateConfig)

    if config.best_of > 1:
        refused(("num", "stop", "stats"), "--best-of shows one of its texts, whole")
    else:
        refused(("reward",), "it chooses among the samples of --best-of")
    if config.beams > 1:
        refused(("stats",), "the speed shown is that of samples, and --beams draws none")
    else:
        refused(("length_penalty",), "it is of the scores of --beams")
    if idle := without_effect(given):
        options = " and ".join("--" + name.replace("_", "-") for name in idle)
        raise ConfigError(
            f"{options} would change nothing where the most probable token is taken: leave it out, "
            "or sample"
        )


def _beginning(opened, prompt, answers):
    """(the prompt as text, the ids that the model reads).

    answers  True: the prompt is a turn of a conversation
    """
    if prompt == "-":
        prompt = standard_input()
    elif not prompt and opened.start is None:
        prompt = "\n"  # no token begins a text, so a line feed does
    if answers:
        # The template frames the turn, and ends where the answer begins.
        question = [{"role": "user", "content": prompt}]
        return prompt, opened.template.encode(opened.tokenizer, question)
    return prompt, opened.prompt_ids(prompt)


def _samples(config, sampling, opened, start, shown):
    from tinylm.cli.use.timer import Timer
    from tinylm.generate import stream_text
    from tinylm.generate.fast.fastest import fastest

    # Each piece is flushed: the text is to appear while it is written.
    lm, show = fastest(opened.lm), functools.partial(print, end="", flush=True)
    for i in range(config.num):
        # Every sample reads the prompt again and has a seed of its own.
        timer = Timer()
        pieces = stream_text(
            lm,
            opened.tokenizer,
            start,
            config.max_tokens,
            eos=opened.ends,
            seed=config.seed + i,
            stop=config.stop,
            notice=_notice if i == 0 else None,
            **sampling,
        )
        if config.num > 1:
            if i:
                show("\n")
            show(f"--- seed {config.seed + i}\n")
        show(shown)
        for piece in timer.watch(pieces):
            show(piece)
        show("\n")
        if config.stats:
            _notice(timer.report(lm))


def _beams(config, sampling, opened, start, shown):
    from tinylm.generate import beam_search, power_penalty

    if sampling or config.stop:
        raise ConfigError(
            "--beams searches for the most probable text: leave out --stop and the options of sampling"
        )
    tokenizer = opened.tokenizer
    found = beam_search(
        opened.lm,
        start,
        # A beam must grow by a token at least, where sampling may stop at none.
        max(1, config.max_tokens),
        config.beams,
        opened.eos,
        config.num,
        power_penalty(config.length_penalty),
        notice=_notice,
    )
    for i, best in enumerate(found):
        if config.num > 1:
            if i:
                print()
            print(f"--- log-probability {best.logprob:.3f}, score {best.score:.3f}")
        # The mark of the end is in the score of a beam, and not in its text.
        print(shown + tokenizer.decode([token for token in best.tokens if token != opened.eos]))


def _notice(text):
    print(f"tinylm generate: {text}", file=sys.stderr)
