"""`tinylm export RUN DIR`: write a run as a folder that Hugging Face's library and tinylm can open.

DIR gets the weights (model.safetensors, config.json), the tokenizer (tokenizer.json, its settings,
and the chat template of a run tuned on conversations), generation_config.json, and a README.md with
the training data and the final loss. transformers' AutoTokenizer and AutoModel give the same ids
and logits as the run. `tinylm generate DIR`, `chat DIR` and `eval DIR --data FILE` open it. A
folder that contains anything but an earlier export is not overwritten.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinylm.cli.options import parse
from tinylm.errors import ConfigError

EXAMPLES = "tinylm export RUN model", "tinylm export RUN/checkpoints/step-000500 model"


@dataclass
class ExportConfig:
    """`tinylm export` has no settings, only the two names."""


def main(argv: Sequence[str]) -> None:
    """Write the folder and print a summary of it."""
    _, (run, folder) = parse(
        argv,
        ExportConfig,
        positionals=("RUN", "DIR"),
        verb="export",
        about=__doc__,
        examples=EXAMPLES,
    )
    # Imported after the words are read, so that --help and errors come at once.
    from tinylm.finetune.export.run import export_run
    from tinylm.prompt.protocol.opened import is_published

    if is_published(run):
        raise ConfigError(
            f"{run} is published already: `tinylm export` takes runs of `tinylm train` and "
            "`tinylm finetune`"
        )
    opened = export_run(run, folder)
    model = opened.model
    print(
        f"{folder}: {opened.described['architectures'][0]} of {opened.path}, "
        f"{model.count_parameters():,} parameters, {model.config.vocab_size:,} tokens"
    )
    # Parts of the run that are left out, as no published class has them.
    for note in opened.notes:
        print(note)
