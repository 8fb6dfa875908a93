"""YAML 1.2 as configurations need it: plain data only, no key twice.

PyYAML reads YAML 1.1, in which 1:30 is 90, 010 is 8, and `no` is false; so the rules that tell numbers from
text are those of the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/, 10.3.2).
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from spane_rllib.core.errors import UserError, one_line

MAX_CHARACTERS = 1 << 20
"""Parsing that many takes half a minute."""

_NUMBER = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_CORE_SCHEMA = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", rf"{_NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.0123456789")),
)


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        # Anchors can be nested into exponential size, and tags ask for types that no key has.
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise yaml.composer.ComposerError(
                None, None, "anchors, aliases and tags (&, *, !) are not supported", event.start_mark
            )
        if re.search("[\ud800-\udfff]", getattr(event, "value", None) or ""):
            raise yaml.composer.ComposerError(
                None, None, "half of a character (\\ud800 to \\udfff) is no text", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag != "tag:yaml.org,2002:str":
                raise self._refuse(f"a key must be plain text, not {key_node.value!r}", key_node)
            if key_node.value in seen:
                raise self._refuse(f"the key {key_node.value!r} occurs twice", key_node)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = node.value
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))

    @staticmethod
    def _refuse(problem: str, node: yaml.Node) -> yaml.YAMLError:
        return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


class _Dumper(yaml.SafeDumper):
    def represent_sequence(
        self, tag: str, sequence: Any, flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        return super().represent_sequence(tag, sequence, flow_style=True)


_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in _CORE_SCHEMA:
    # The dumper has PyYAML's own rules too: it quotes what either version of YAML would not take for text.
    for _resolver in (_Loader, _Dumper):
        _resolver.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse_yaml(text: str, where: str) -> Any:
    """The plain data in `text` (one document). Raises `UserError` with `where` and, if known, the line."""
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"{where}: {len(text):,} characters of YAML; read are at most {MAX_CHARACTERS:,}")
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(
            one_line(f"{where}: {line}not valid YAML: {error.problem or error.context}")
        ) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or number that does not exist
        raise UserError(one_line(f"{where}: not valid YAML: {error}")) from error
    except RecursionError:
        raise UserError(f"{where}: not a configuration: nested too deeply") from None


def write_yaml(data: Any) -> str:
    """`data` as YAML that `parse_yaml` reads back exactly; keys keep their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
