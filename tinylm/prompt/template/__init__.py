"""Prompts as text: fields, slots, roles, formats, and the prompts of the book   (book sections
3.1.1 and 3.1.3).

In order: fields.py ("Name: content"), library.py (the book's prompts as templates), task_spec.py (a
task as attributes), roles.py (system, user, demonstrations, conversations), delimiters.py and
code_style.py (where an input begins and ends), json_reply.py (objects of replies), tables.py
(records as context), constraints.py (what a text must meet), stepwise.py (a procedure in the
prompt), rounds.py (a reply in the next prompt), feature_tokens.py (features before prompts had
words).
Slots are in finetune/instruct/prompt_template.py, as tuning on instructions uses them too.
"""

from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt.template.code_style import complete_code, parse_code, read_value, render_code
from tinylm.prompt.template.constraints import Check, unmet
from tinylm.prompt.template.delimiters import code_blocks, delimited, unwrap, wrap
from tinylm.prompt.template.fields import (
    complete_fields,
    dialogue,
    parse_fields,
    read_reply,
    render_fields,
    reply_stops,
    stop_strings,
)
from tinylm.prompt.template.json_reply import complete_json, read_json
from tinylm.prompt.template.library import EXTRACTIONS, LIBRARY, ROLES
from tinylm.prompt.template.roles import Conversation, render_roles, role_prompt, to_messages
from tinylm.prompt.template.rounds import SOLVE_THEN_JUDGE, Rounds, solve_then_judge
from tinylm.prompt.template.stepwise import STEPS, STEPWISE_MATH, read_steps, solve_stepwise
from tinylm.prompt.template.tables import (
    answer_from_context,
    context_prompt,
    copied_share,
    longest_copy,
    parse_table,
    render_table,
    table_prompt,
)
from tinylm.prompt.template.task_spec import TaskSpec

__all__ = [
    "EXTRACTIONS",
    "LIBRARY",
    "ROLES",
    "SOLVE_THEN_JUDGE",
    "STEPS",
    "STEPWISE_MATH",
    "Check",
    "Conversation",
    "PromptTemplate",
    "Rounds",
    "TaskSpec",
    "answer_from_context",
    "code_blocks",
    "complete_code",
    "complete_fields",
    "complete_json",
    "context_prompt",
    "copied_share",
    "delimited",
    "dialogue",
    "longest_copy",
    "parse_code",
    "parse_fields",
    "parse_table",
    "read_json",
    "read_reply",
    "read_steps",
    "read_value",
    "render_code",
    "render_fields",
    "render_roles",
    "render_table",
    "role_prompt",
    "solve_stepwise",
    "solve_then_judge",
    "reply_stops",
    "stop_strings",
    "table_prompt",
    "to_messages",
    "unmet",
    "unwrap",
    "wrap",
]
