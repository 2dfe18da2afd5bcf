"""Run by the SDKs' own Python: each streaming helper through each fault, once, with the SDKs' own retries.

``streams.py URL PRACTICE HELPERS [FAULT...]``: URL is asked, the practice provider at PRACTICE is told to fail; HELPERS are
names below with commas between, a fault is JSON.
Prints one JSON object: per fault and protocol what came of it, ``ok`` or the exception's name.
"""

import json
import sys
import urllib.request

import anthropic  # type: ignore[import-not-found, unused-ignore]  # (in an environment of its own, as the next)
import openai  # type: ignore[import-not-found, unused-ignore]

UNIT = {"x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": "S01"}
KEY = "sk-the-clients-own"
SAY = [{"role": "user", "content": "hello"}]


def chat(url: str) -> str:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, default_headers=UNIT)
    with client.chat.completions.stream(model="gpt-5.4", messages=SAY, stream_options={"include_usage": True}) as stream:
        for _ in stream:
            pass
        return str(stream.get_final_completion().choices[0].message.content)


def responses(url: str) -> str:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, default_headers=UNIT)
    with client.responses.stream(model="gpt-5.4", input="hello") as stream:
        for _ in stream:
            pass
        return str(stream.get_final_response().output_text)


def messages(url: str) -> str:
    client = anthropic.Anthropic(base_url=url, api_key=KEY, default_headers=UNIT)
    with client.messages.stream(model="claude-sonnet-4-6", max_tokens=999, messages=SAY) as stream:
        for _ in stream:
            pass
        return str(stream.get_final_message().content[0].text)


def tell(practice: str, faults: list[object]) -> None:
    forget = urllib.request.Request(f"{practice}/practice/faults", method="DELETE")
    add = urllib.request.Request(f"{practice}/practice/faults", json.dumps(faults).encode())
    for request in (forget, add):
        urllib.request.urlopen(request).close()


def main() -> None:
    url, practice, helpers, *faults = sys.argv[1:]
    came: dict[str, str] = {}
    for text in faults:
        fault = json.loads(text)
        for ask in (one for one in (chat, responses, messages) if one.__name__ in helpers.split(",")):
            tell(practice, [fault])
            name = f"{'wait' if fault['retry_after'] else fault['kind']} {ask.__name__}"
            try:
                came[name] = "ok" if ask(url) else "nothing"
            except Exception as problem:  # noqa: BLE001  (whatever it is, it is what is asked for)
                came[name] = type(problem).__name__
    sys.stdout.write(json.dumps(came) + "\n")


main()
