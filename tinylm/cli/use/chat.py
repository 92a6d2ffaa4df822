"""`tinylm chat smollm2`: talk with a model that was tuned to follow instructions.

Every turn is put into the words the model was tuned on (its chat template), so that what you type
cannot pass for another turn. An empty line or Ctrl-D ends the talk; "/new" forgets it. Weights are
found as by `tinylm generate`.
"""

import sys
from dataclasses import dataclass

from tinylm.cli.options import parse
from tinylm.errors import ConfigError, DataError
from tinylm.settings import at_least, one_of, setting

EXAMPLES = (
    "tinylm chat smollm2",
    'tinylm chat smollm2 --system "Answer in one sentence." --temperature 0.7 --top-p 0.9',
)


@dataclass
class ChatConfig:
    """What `tinylm chat` takes beside the fields of Sampling."""

    system: str = setting(
        "", "what the model is told before the first turn; none: what it was tuned with"
    )
    max_tokens: int = setting(400, "tokens of an answer at most", at_least(1))
    seed: int = setting(1337, "of the first answer; the next ones count on from it")
    device: str = setting("cpu", "cpu or gpu")
    bits: str = setting("32", "of a weight while decoding: 32, 8 or 4", one_of("32", "8", "4"))
    stats: bool = setting(False, "after each answer, say how fast it was")


def main(argv):
    """Read a line, answer, and so on."""
    from tinylm.cli.use.open_model import BITS, open_model
    from tinylm.generate import Sampling
    from tinylm.generate.fast.fastest import fastest
    from tinylm.models.published.chat_template import RefusedTemplate

    given = {}
    config, sampling, (name,) = parse(
        argv,
        ChatConfig,
        Sampling,
        positionals=("MODEL",),
        verb="chat",
        about=__doc__,
        examples=EXAMPLES,
        given=given,
    )
    opened = open_model(name, config.device, BITS[config.bits])
    if opened.template is None:
        raise ConfigError(
            f"{name} was not tuned to follow instructions: it has no chat template. Try `tinylm generate`"
        )
    if isinstance(opened.template, RefusedTemplate):
        raise opened.template.reason
    sampling = opened.sampling(sampling, given, asked=True)
    start = [{"role": "system", "content": config.system}] if config.system else []
    messages, lm, turn = list(start), fastest(opened.lm), 0
    while (line := _read()).strip():
        if line.strip() == "/new":
            messages = list(start)
            continue
        messages.append({"role": "user", "content": line})
        messages.append(
            {"role": "assistant", "content": _answer(opened, lm, messages, config, sampling, turn)}
        )
        turn += 1


def _read():
    try:
        return input("> " if sys.stdin.isatty() else "")
    except EOFError:
        return ""
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(
            f"the standard input has the byte 0x{byte:02x}, which is not "
            f"{error.encoding} ({error.reason})"
        ) from None


def _answer(opened, lm, messages, config, sampling, turn):
    """Show the next turn as it comes; returns its text."""
    from tinylm.cli.use.open_model import Timer
    from tinylm.generate import stream_text

    ids, timer, pieces = opened.template.encode(opened.tokenizer, messages), Timer(), []
    if lm.context is not None and len(ids) + config.max_tokens > lm.context:
        print(
            f"tinylm chat: the talk is {len(ids)} tokens long, of {lm.context}; /new begins another",
            file=sys.stderr,
        )
    stream = stream_text(
        lm,
        opened.tokenizer,
        ids,
        config.max_tokens,
        eos=opened.ends,
        seed=config.seed + turn,
        **sampling,
    )
    for piece in timer.watch(stream):
        print(piece, end="", flush=True)
        pieces.append(piece)
    print()
    if config.stats:
        print(f"tinylm chat: {timer.report(lm)}", file=sys.stderr)
    return "".join(pieces)
