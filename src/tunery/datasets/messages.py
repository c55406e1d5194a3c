"""Chats as rows write them, brought into one form: messages with role and content, calls of tools, tool definitions.

    messages  [{role: system|user|assistant|tool, content: text, tool_calls?: [...], tool_call_id?, name?, ...}, ...]
    tools     [{type: function, function: {name, description?, parameters?}}, ...]

A call is ``{type: function, function: {name, arguments: {...}}, id?}``; chat templates take the arguments as an object.
"""

from __future__ import annotations

import json
from typing import Any

from tunery.datasets.formats.strict_json import JsonFault, StrictJson
from tunery.datasets.quarantine import RowFault

__all__ = ["read_chat", "read_messages", "read_tools", "text_of", "texts_of_message"]

_ROLES = {role: role for role in ("system", "user", "assistant", "tool")} | {
    "developer": "system",
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "function": "tool",
    "observation": "tool",
}
_PLAIN = frozenset({"role", "content"})
_READ = frozenset({"role", "from", "content", "value", "tool_calls"})


def read_chat(value: Any) -> list[dict[str, Any]]:
    """Return messages of which the last is the assistant's. Raises: RowFault: they are none a model can learn from."""
    messages = read_messages(value)
    if messages[-1]["role"] != "assistant":
        raise RowFault(f"the last message is the {messages[-1]['role']}'s; it must be the assistant's")
    if len(messages) == 1:
        raise RowFault("there is only the assistant's message, and nobody it answers")
    return messages


def read_messages(value: Any, column: str = "messages") -> list[dict[str, Any]]:
    """Return messages in their one form; also given as the JSON text of a list. Raises: RowFault: one has a fault."""
    value = _parsed(value)
    if not isinstance(value, list) or not value:
        raise RowFault(f"{column} is not a list of messages, or has none")
    messages = [_message(number, item) for number, item in enumerate(value, start=1)]
    if any(message["role"] == "system" for message in messages[1:]):
        raise RowFault("a system message stands after the first message")
    return messages


def read_tools(value: Any) -> list[dict[str, Any]]:
    """Return tool definitions in their one form; none for an empty value. Raises: RowFault: one has no name."""
    value = _parsed(value)
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise RowFault("tools is not a list of tool definitions")
    return [_named("tool", number, item) for number, item in enumerate(value, start=1)]


def text_of(value: Any) -> str:
    """Return a value as text: itself, nothing for null, or its JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def texts_of_message(message: dict[str, Any]) -> list[str]:
    """Return what a message says: its content, and its calls as JSON."""
    content = text_of(message.get("content"))
    return [content, text_of(message["tool_calls"])] if message.get("tool_calls") else [content]


def _message(number: int, item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise RowFault(f"message {number} is not an object with role and content")
    role = item.get("role", item.get("from"))
    if not isinstance(role, str) or role not in _ROLES:
        raise RowFault(f"message {number} has a role that is none of {', '.join(_ROLES)}")
    content, role = item.get("content", item.get("value")), _ROLES[role]
    if item.keys() == _PLAIN and isinstance(content, str) and content.strip():
        return item if item["role"] == role else {"role": role, "content": content}
    calls = _calls(number, role, item.get("tool_calls"))
    message = {"role": role, "content": _content(number, role, content, bool(calls)), **calls}
    return message | {name: value for name, value in item.items() if name not in _READ and value is not None}


def _content(number: int, role: str, content: Any, calls: bool) -> str:
    if isinstance(content, list) and content and all(isinstance(part, dict) and "type" in part for part in content):
        if any(part["type"] != "text" or not isinstance(part.get("text"), str) for part in content):
            raise RowFault(f"message {number} has a part that is no text; only text can be learned")
        content = "".join(part["text"] for part in content)
    if role == "tool" and content is not None:
        content = text_of(content)
    if content is None and calls:
        return ""
    if not isinstance(content, str):
        raise RowFault(f"message {number} has no text as its content")
    if role == "assistant" and not content.strip() and not calls:
        raise RowFault(f"message {number}, the assistant's, is empty")
    return content


def _calls(number: int, role: str, value: Any) -> dict[str, Any]:
    value = _parsed(value)
    if value is None or value in ([], ""):
        return {}
    if role != "assistant" or not isinstance(value, list):
        raise RowFault(f"message {number} has tool_calls that are no list, or are not the assistant's")
    return {"tool_calls": [_call(number, item) for item in value]}


def _call(number: int, item: Any) -> dict[str, Any]:
    call = _named(f"message {number}: tool call", 1, item)
    arguments = _parsed(call["function"].get("arguments"))
    if not isinstance(arguments, dict) and arguments is not None:
        raise RowFault(f"message {number}: the arguments of a call are no JSON object")
    call["function"] = call["function"] | {"arguments": arguments or {}}
    return call


def _named(what: str, number: int, item: Any) -> dict[str, Any]:
    """Return ``{type: function, function: {name, ...}}`` of that or of the function alone."""
    found = item.get("function", item) if isinstance(item, dict) else {}
    name = found.get("name") if isinstance(found, dict) else None
    if not isinstance(name, str) or not name:
        raise RowFault(f"{what} {number} is no function with a name")
    apart = {key: item[key] for key in ("id",) if item.get(key) is not None}
    function = {key: value for key, value in found.items() if value is not None and key not in ("type", "id")}
    return {"type": "function", **apart, "function": function}


def _parsed(value: Any) -> Any:
    """Return what a JSON text says, for tables often hold lists and objects as such; other values as they are."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return StrictJson().parse(value)
        except JsonFault as fault:
            raise RowFault(f"a JSON text in it is broken: {fault.reason}") from fault
    return value
