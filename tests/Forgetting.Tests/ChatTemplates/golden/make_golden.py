"""Writes golden.json: what Jinja2 itself makes of the templates here, in the environment that Hugging Face transformers sets up."""
import glob
import json
from datetime import datetime
from pathlib import Path

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    """{% generation %} as a block that marks its output, since the marks are what is under test."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller):
        return "\ue000" + caller() + "\ue001"


def fail(message):
    raise jinja2.TemplateError(message)


def render(source, **variables):
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    environment.globals["raise_exception"] = fail
    environment.globals["strftime_now"] = lambda form: datetime(2025, 3, 9, 8, 5, 7).strftime(form)
    return environment.from_string(source).render(**variables)


conversations = [
    [("user", "Hi 😀 'x'")],
    [("user", "  Q one \n"), ("assistant", "A\none")],
    [("system", "Be \"kind\"."), ("user", "Q"), ("assistant", "<think>\nwhy\n</think>\n\nbecause"), ("user", "R"), ("assistant", "Ünd\n")],
]
cases = []
for path in sorted(glob.glob(str(Path(__file__).parent / "*.jinja"))):
    for conversation in conversations:
        for prompt in (False, True):
            messages = [{"role": role, "content": content} for role, content in conversation]
            text = render(
                Path(path).read_text(), messages=messages, tools=None, documents=None, add_generation_prompt=prompt,
                bos_token="<s>", eos_token="</s>")
            generated, plain = [], ""
            for part in text.replace("\ue001", "\ue000\ue001").split("\ue000"):
                if part.startswith("\ue001"):
                    plain += part[1:]
                    continue
                if plain or generated or text.startswith("\ue000"):
                    generated.append([len(plain.encode("utf-16-le")) // 2, len((plain + part).encode("utf-16-le")) // 2])
                plain += part
            cases.append({"template": Path(path).name, "messages": messages, "add_generation_prompt": prompt,
                          "text": plain, "generated": generated if "\ue000" in text else []})
Path(__file__).with_name("golden.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")
