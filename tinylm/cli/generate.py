"""`tinylm generate RUN "prompt"`: continue a text with a trained model, shown as it comes.

Without a prompt the model begins a text of its own; the prompt "-" is read from the standard input.
"""
import functools
import sys
from dataclasses import dataclass

from tinylm.cli.options import parse
from tinylm.train.settings import at_least, setting

EXAMPLES = 'tinylm generate RUN "The with statement"', "tinylm generate RUN Note --temperature 0.7 --top-p 0.9 --num 3"


@dataclass
class GenerateConfig:
    """What `tinylm generate` takes beside the fields of Sampling."""

    max_tokens: int = setting(200, "tokens to generate at most", at_least(0))
    stop: tuple[str, ...] = setting((), "end before this text; may be given several times")
    num: int = setting(1, "samples, each with a seed of its own", at_least(1))
    seed: int = setting(1337, "of the first sample; the next ones count on from it")
    echo: bool = setting(True, "show the prompt before what follows it")
    device: str = setting("cpu", "cpu or gpu")


def main(argv):
    """Print the prompt and what the model makes of it."""
    from tinylm.backend import backend
    from tinylm.generate import Sampling, stream_text
    from tinylm.train import load_run

    config, sampling, (path, *prompt) = parse(argv, GenerateConfig, Sampling, positionals=("RUN", "[PROMPT]"),
                                              verb="generate", about=__doc__, examples=EXAMPLES)
    backend(config.device)
    model, tokenizer, _ = load_run(path)
    model.to(config.device)
    prompt, end = "".join(prompt), tokenizer.special.get("<|endoftext|>")
    prompt = sys.stdin.read() if prompt == "-" else prompt or ("" if end is not None else "\n")
    show = functools.partial(print, end="", flush=True)
    for i in range(config.num):
        pieces = stream_text(model, tokenizer, prompt, config.max_tokens, bos=end, eos=end, seed=config.seed + i,
                             stop=config.stop, notice=_notice if i == 0 else None, **vars(sampling))
        if config.num > 1:
            show(f"{'' if i == 0 else chr(10)}--- seed {config.seed + i}\n")
        if config.echo:
            show(prompt)
        for piece in pieces:
            show(piece)
        show("\n")


def _notice(text):
    print(f"tinylm generate: {text}", file=sys.stderr)
