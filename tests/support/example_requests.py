"""Requests as agents shape them, one for each protocol, written for the tests: nobody's prompts are in them."""

from typing import Any

LINES = '     1\tdef greet(name):\n     2\t    return f"Hello, {name}"\n' * 20


def schema(words: int = 3) -> dict[str, Any]:
    properties = {f"p{number}": {"type": "string", "description": "What it is for."} for number in range(words)}
    return {"type": "object", "properties": properties, "required": ["p0"]}


def messages(rounds: int = 2, offered: int = 3, **more: Any) -> dict[str, Any]:
    """As Claude Code asks for a model that thinks adaptively."""
    talk: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "Fix the typo in the greeting."}]}]
    for number in range(rounds):
        call = {"type": "tool_use", "id": f"toolu_{number:024d}", "name": "Read", "input": {"file_path": "/a.py"}}
        talk.append({"role": "assistant", "content": [{"type": "text", "text": "I read it."}, call]})
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": LINES}
        talk.append({"role": "user", "content": [result]})
    return {
        "model": "claude-opus-4-6",
        "messages": talk,
        "system": [{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": f"Tool{n}", "description": "Does it.", "input_schema": schema()} for n in range(offered)],
        "metadata": {"user_id": '{"device_id":"d","account_uuid":"","session_id":"s-1"}'},
        "max_tokens": 32000,
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "stream": True,
        **more,
    }


def chat(rounds: int = 2, offered: int = 3, **more: Any) -> dict[str, Any]:
    """As agents that speak to any provider do."""
    talk: list[dict[str, Any]] = [
        {"role": "system", "content": "You are an agent."},
        {"role": "user", "content": [{"type": "text", "text": "Fix the typo in the greeting."}]},
    ]
    for number in range(rounds):
        call = {"id": f"call_{number}", "type": "function", "function": {"name": "read", "arguments": '{"path":"/a.py"}'}}
        talk.append({"role": "assistant", "content": None, "tool_calls": [call]})
        talk.append({"role": "tool", "tool_call_id": call["id"], "content": LINES})
    functions = [{"name": f"tool{n}", "description": "Does it.", "parameters": schema()} for n in range(offered)]
    return {
        "model": "gpt-5.4",
        "messages": talk,
        "tools": [{"type": "function", "function": function} for function in functions],
        "stream": True,
        "stream_options": {"include_usage": True},
        **more,
    }


def responses(rounds: int = 2, offered: int = 3, **more: Any) -> dict[str, Any]:
    """As Codex asks for a model of the GPT-5.4 line."""
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are an agent."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix the typo."}]},
    ]
    for number in range(rounds):
        items.append({"type": "function_call", "call_id": f"call_{number}", "name": "exec_command", "arguments": "{}"})
        items.append({"type": "function_call_output", "call_id": f"call_{number}", "output": LINES})
    return {
        "model": "gpt-5.4",
        "instructions": "You are an agent.",
        "input": items,
        "tools": [{"type": "function", "name": f"tool{n}", "strict": False, "parameters": schema()} for n in range(offered)],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k-1",
        **more,
    }
