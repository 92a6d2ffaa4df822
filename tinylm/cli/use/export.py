"""`tinylm export RUN DIR`: a run as a folder that Hugging Face's library opens, and tinylm again.

DIR gets the weights (model.safetensors, config.json), the tokenizer (tokenizer.json, its settings,
and the chat template of a run tuned on conversations), generation_config.json, and a README.md that
says what the run learnt from and how well. transformers' AutoTokenizer and AutoModel give the ids
and logits of the run. `tinylm generate DIR`, `chat DIR` and `eval DIR --data FILE` open it. A
folder that holds anything else than an earlier export is not written over.
"""

from dataclasses import dataclass

from tinylm.cli.options import parse
from tinylm.errors import ConfigError

EXAMPLES = "tinylm export RUN model", "tinylm export RUN/checkpoints/step-000500 model"


@dataclass
class ExportConfig:
    """What `tinylm export` takes: nothing but the two names."""


def main(argv):
    """Write the folder and say what it holds."""
    _, (run, folder) = parse(
        argv,
        ExportConfig,
        positionals=("RUN", "DIR"),
        verb="export",
        about=__doc__,
        examples=EXAMPLES,
    )
    from tinylm.cli.use.open_model import is_published
    from tinylm.finetune.export.run import export_run

    if is_published(run):
        raise ConfigError(
            f"{run} is published already: exported are runs of `tinylm train` and `tinylm finetune`"
        )
    opened = export_run(run, folder)
    model = opened.model
    print(
        f"{folder}: {opened.described['architectures'][0]} of {opened.path}, "
        f"{model.count_parameters():,} parameters, {model.config.vocab_size:,} tokens"
    )
    for note in opened.notes:
        print(note)
