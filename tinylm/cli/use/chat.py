"""`tinylm chat smollm2`: chat with a model that was tuned on instructions.

Every turn is put into the model's chat template; typed text cannot produce its special tokens, so
it cannot imitate another turn. An empty line or Ctrl-D ends the conversation; "/new" starts a new
one. Weights are found as by `tinylm generate`.
"""

import contextlib
import sys
from collections.abc import Sequence
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
    """Settings of `tinylm chat`, beside the fields of Sampling."""

    system: str = setting("", "the system message; none: the one of the model's chat template")
    max_tokens: int = setting(400, "longest answer, in tokens", at_least(1))
    seed: int = setting(1337, "seed of the first answer; each further one adds 1")
    device: str = setting("cpu", "cpu or gpu")
    bits: str = setting("32", "bits of a weight while decoding: 32, 8 or 4", one_of("32", "8", "4"))
    stats: bool = setting(False, "print the speed after each answer")


def main(argv: Sequence[str]) -> None:
    """Read a line, answer, and so on."""
    from tinylm.generate import Sampling
    from tinylm.generate.fast.fastest import fastest
    from tinylm.models.published.chat_template import RefusedTemplate
    from tinylm.prompt.protocol.opened import BITS, open_model

    # Options that were given, and not left at their defaults: only these override the model's files.
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
        # A template that this program cannot run is an error here, and none where it is not needed.
        raise opened.template.reason
    sampling = opened.sampling(sampling, given, answers=True)
    start = []
    if config.system:
        start = [{"role": "system", "content": config.system}]
    # The whole conversation is encoded anew for every turn, as templates may depend on all of it.
    messages, lm, turn = list(start), fastest(opened.lm), 0
    while (line := _read()).strip():
        if line.strip() == "/new":
            # The system message stays: it was set for all conversations.
            messages = list(start)
            continue
        messages.append({"role": "user", "content": line})
        messages.append(
            {"role": "assistant", "content": _answer(opened, lm, messages, config, sampling, turn)}
        )
        turn += 1


def _read():
    """One line of the user; "" at the end of the input."""
    # No prompt in front of piped lines: the output holds answers alone.
    prompt = "> " * sys.stdin.isatty()
    if prompt:
        with contextlib.suppress(ImportError):  # Windows has none
            import readline  # noqa: F401 (input() edits its line, and recalls earlier ones)
    try:
        return input(prompt)
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
    from tinylm.cli.use.timer import Timer
    from tinylm.generate import stream_text

    ids, timer, pieces = opened.template.encode(opened.tokenizer, messages), Timer(), []
    # A full window loses its oldest tokens, the system message first; answers go on without them.
    if lm.context is not None and len(ids) + config.max_tokens > lm.context:
        print(
            f"tinylm chat: the conversation has {len(ids)} tokens of at most {lm.context}; "
            "/new starts another",
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
    # A piece is whole characters: bytes of one wait until it is complete.
    for piece in timer.watch(stream):
        print(piece, end="", flush=True)
        pieces.append(piece)
    print()
    if config.stats:
        print(f"tinylm chat: {timer.report(lm)}", file=sys.stderr)
    return "".join(pieces)
