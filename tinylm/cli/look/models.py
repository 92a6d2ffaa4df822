"""`tinylm models`: the families of language models, their sizes and what distinguishes them from
GPT-2.

`tinylm models NAME` shows one: every part, and where its parameters are. Nothing is downloaded or
built: counts are a formula (models/decoder/sizes.py).
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinylm.cli.options import parse
from tinylm.settings import setting

# Fields left out of the lines of the list: they have a column of their own, or matter little.
SHORT = "n_kv_head", "head_width", "norm_eps", "rope_base"


@dataclass
class ModelsSettings:
    """Settings of `tinylm models`."""

    parts: bool = setting(
        False, "in the list, show all differences from GPT-2 and not only the first few"
    )


def main(argv: Sequence) -> int | None:
    """Print the list, or one model."""
    settings, names = parse(
        argv,
        ModelsSettings,
        positionals=("[NAME...]",),
        verb="models",
        about=__doc__,
        examples=(
            "tinylm models",
            "tinylm models llama3-8b",
            "tinylm models gemma2-9b mixtral-8x7b",
        ),
    )
    if names:
        print("\n\n".join(describe(name) for name in names))
    else:
        print(table(settings.parts))
    return 0


def table(whole: Any = False) -> str:
    """All presets: name, parameters, depth, width, heads, and what differs from GPT-2. Returns str."""
    from tinylm.models.decoder.presets import DECODERS, differences, preset
    from tinylm.models.decoder.sizes import count_parameters

    lines = [f"{'model':<15}{'parameters':>16}{'L':>5}{'D':>7}{'heads':>9}{'F':>7}  unlike GPT-2"]
    for name in DECODERS:
        c = preset(name)
        unlike = ", ".join(
            word(field, value) for field, value in differences(c).items() if field not in SHORT
        )
        heads = f"{c.n_head}/{c.kv_heads}"
        line = f"{name:<15}{count_parameters(c):>16,}{c.n_layer:>5}{c.d_model:>7}{heads:>9}{c.hidden_width:>7}  {unlike}"
        # Some models differ in a dozen fields; a line that wraps breaks the columns.
        if len(line) > 140 and not whole:
            line = line[:137] + "..."
        lines.append(line.rstrip())
    lines += ["", f"{'encoders and encoder-decoders':<31}{'parameters':>16}", *other_families()]
    lines += [
        "",
        "heads: of queries / of keys and values.  `tinylm models NAME` shows one; in Python, GPT(preset(NAME)).",
        'Published weights: `tinylm generate smollm2 "..."`, or a file or folder in their place.',
    ]
    return "\n".join(lines)


def other_families() -> list[str]:
    """Encoders and encoder-decoders, a line each: name, parameters with their heads, remark."""
    from tinylm.models.encoder import presets as other

    # Without a seed the parameters are placeholders, which cost no memory.
    sizes = {
        name: other.build(other.preset(name), None).count_parameters()
        for name in other.ENCODER_FAMILIES
    }
    return [f"{name:<31}{size:>16,}  {other.note(name)}".rstrip() for name, size in sizes.items()]


def describe_other(name: str) -> str:
    """One preset of the other two kinds: its fields and count. Returns str."""
    from tinylm.models.encoder import presets as other

    c = other.preset(name)
    total = other.build(c, None).count_parameters()
    lines = [f"{name}: {total:,} parameters with its heads{_remark(other.note(name))}"]
    for f in dataclasses.fields(c):
        if getattr(c, f.name) is not None:
            lines.append(f"    {f.name} = {getattr(c, f.name)}")
    return "\n".join(lines)


def _remark(note):
    """A note in brackets; nothing for none."""
    if note:
        return f" ({note})"
    return ""


def word(field: str, value: Any) -> str:
    """A difference from GPT-2 in one or two words: "rope", "untied", "no bias", "window 4096"."""
    # bool before the rest: True is an int, too.
    if value is True or value is False:
        if value:
            return field
        if field == "tied":
            return "untied"
        return f"no {field}"
    if isinstance(value, tuple):
        return f"{field}: {'-'.join(value)}"
    if isinstance(value, dict):
        return f"{field}: {value.get('name')}"
    if isinstance(value, str):
        return value
    return f"{field} {value:g}"


def describe(name: str) -> str:
    """One preset: its fields and counts. Returns str."""
    from tinylm.models.decoder.presets import differences, note, preset
    from tinylm.models.decoder.sizes import (
        TABLE_2_2,
        count_active,
        count_block,
        count_embeddings,
        count_parameters,
    )
    from tinylm.models.encoder import presets

    if name in presets.ENCODER_FAMILIES:
        return describe_other(name)
    c = preset(name)
    total, unlike = count_parameters(c), differences(c)
    lines = [f"{name}: {total:,} parameters{_remark(note(name))}"]
    if count_active(c) != total:
        lines.append(f"  {count_active(c):,} of them for each token")
    blocks = sum(count_block(c, i) for i in range(c.n_layer))
    lines.append(f"  embeddings and output {count_embeddings(c):,}; {c.n_layer} blocks {blocks:,}")
    # Keys and values (2), each G heads of width K, of 2 bytes a number.
    lines.append(
        f"  cache: {2 * c.cache_layers * c.kv_heads * c.key_width * 2:,} bytes a token in 16 bits "
        "(keys and values of all layers)"
    )
    for f in dataclasses.fields(c):
        value = getattr(c, f.name)
        if value is not None or f.name in unlike:
            mark = "*" if f.name in unlike else " "
            lines.append(f"  {mark} {f.name} = {value}")
    lines.append("  * unlike GPT-2")
    for row in TABLE_2_2:
        if row.preset == name:
            line = (
                f"  Table 2.2 prints {row.billions:g}B, {row.n_layer} layers, "
                f"width {row.d_model}, heads {row.n_head}/{row.n_kv_head}"
            )
            if row.note:
                line += f": {row.note}"
            lines.append(line)
    return "\n".join(lines)
