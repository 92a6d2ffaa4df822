"""Messages of a conversation, in the forms in which files hold them.

    {"role": "user", "content": "2 + 2?"}                                    OpenAI's, and TRL's
    {"from": "human", "value": "2 + 2?"}                                     ShareGPT's
    {"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}        in parts
    {"role": "assistant", "content": null, "tool_calls": [...]}              a call of a tool
    {"role": "tool", "content": "4", "tool_call_id": "a", "name": "add"}     its result

A message with content that cannot be read raises DataError: an image, a weight, an unknown role.
Read next: instructions.py.
"""

from collections.abc import Sequence

from tinylm.errors import DataError

ROLES = ("system", "user", "assistant", "tool", "developer")
# The roles' names in ShareGPT's and other files.
_ALSO = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
_FORMS = (("role", "content"), ("from", "value"))
_TEXTS = ("name", "tool_call_id", "reasoning_content", "reasoning", "thinking")


def read_messages(value: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The messages of a list.

    returns  list of {"role": one of ROLES, "content": str or None, ...}; content is None only
             beside "tool_calls"; parts of a text are joined; fields that are null are left out
    raises   DataError for what cannot be read
    """
    objects = isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    forms = [form for form in _FORMS if objects and all(form[0] in one for one in value)]
    if not forms:
        raise DataError(
            "a conversation is a list of objects with 'role' and 'content', or with "
            f"'from' and 'value', not {value!r:.60}"
        )
    return [_message(one, *forms[0]) for one in value]


def _message(one, role, content):
    """One message; `role` and `content` are the names of these fields in the file."""
    # The role, under its usual name.
    name = one[role]
    if isinstance(name, str):
        name = _ALSO.get(name, name)
    if name not in ROLES:
        raise DataError(f"a message is of role {name!r:.60}; the roles are {', '.join(ROLES)}")
    # The other fields must be known, as the chat template is given them.
    more = {
        key: value for key, value in one.items() if value is not None and key not in (role, content)
    }
    unread = sorted(set(more) - {*_TEXTS, "tool_calls"})
    if unread:
        raise DataError(
            f"a message has the field {unread[0]!r}, which is not read here: take it "
            "out, or write what it means into the content"
        )
    for key in _TEXTS:
        if not isinstance(more.get(key, ""), str):
            raise DataError(f"the field {key!r} must be text, not {more[key]!r:.60}")
    calls = more.get("tool_calls")
    objects = isinstance(calls, list) and all(isinstance(call, dict) for call in calls)
    if calls is not None and (name != "assistant" or not calls or not objects):
        raise DataError(
            "the field 'tool_calls' must be a list of objects in a message of the "
            f"assistant, not {calls!r:.60}"
        )
    # The content may be missing only where the assistant calls a tool instead.
    if one.get(content) is None and calls:
        return {"role": name, "content": None, **more}
    if content not in one:
        raise DataError(f"the field {content!r} is missing")
    if not isinstance(one[content], (str, list)):
        raise DataError(f"the field {content!r} must be text, not {one[content]!r:.60}")
    return {"role": name, "content": joined_parts(one[content], "a message"), **more}


def joined_parts(content: str, where: str) -> str:
    """The text of a content: a str, or the joined texts of a list of parts.

    where   of the content, for the error
    raises  DataError for a part that is no text (an image, a sound), or that has more fields
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise DataError(f"{where} needs a content that is text, got {content!r:.200}")
    return "".join(_part_text(part, where) for part in content)


def _part_text(part, where):
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):  # fails the next check, which then names the Python type
        part = {"type": type(part).__name__}
    kept = {key: value for key, value in part.items() if value is not None}
    if kept.get("type", "text") != "text" or not isinstance(kept.get("text"), str):
        raise DataError(
            f"{where} has a part of type {kept.get('type')!r}; only parts of type "
            "'text' with a text are read"
        )
    extra = sorted(set(kept) - {"type", "text"})
    if extra:
        raise DataError(f"{where} has a part with the field {extra[0]!r}, which is not read here")
    return kept["text"]
