"""Run by the SDKs' own Python: a conversation without tools, in which all that was said goes back, thinking included.

``turns.py URL chat|responses|messages MODEL``; what the person says, in turn, is a JSON array on standard input.
Prints how each answer ended.
"""

import json
import sys

import anthropic  # type: ignore[import-not-found, unused-ignore]  # (in an environment of its own, as the next)
import openai  # type: ignore[import-not-found, unused-ignore]

KEY = "sk-the-clients-own"


def chat(url: str, model: str, turns: list[str]) -> list[str]:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY)
    said, ends = [], []
    for text in turns:
        said.append({"role": "user", "content": text})
        choice = client.chat.completions.create(model=model, messages=said).choices[0]
        said.append({"role": "assistant", "content": choice.message.content})
        ends.append(choice.finish_reason)
    return ends


def responses(url: str, model: str, turns: list[str]) -> list[str]:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY)
    said: list[object] = []
    ends = []
    for text in turns:
        said.append({"role": "user", "content": text})
        sealed = {"store": False, "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "medium"}}
        answer = client.responses.create(model=model, input=said, **sealed)
        said.extend(answer.output)
        ends.append(answer.status)
    return ends


def messages(url: str, model: str, turns: list[str]) -> list[str]:
    client = anthropic.Anthropic(base_url=url, api_key=KEY)
    said: list[object] = []
    ends = []
    for text in turns:
        said.append({"role": "user", "content": text})
        thinking = {"type": "adaptive"}
        answer = client.messages.create(model=model, max_tokens=4000, thinking=thinking, messages=said)
        said.append({"role": "assistant", "content": answer.content})
        ends.append(answer.stop_reason)
    return ends


def main() -> None:
    url, protocol, model = sys.argv[1:]
    speak = {"chat": chat, "responses": responses, "messages": messages}[protocol]
    sys.stdout.write(f"{' '.join(speak(url, model, json.load(sys.stdin)))}\n")


main()
