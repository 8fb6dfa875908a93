"""YAML as configurations need it: plain data only, no key twice, and `1e-3` is a number."""

from __future__ import annotations

import re
from typing import Any

import yaml

from spane_rllib.core.errors import UserError, one_line


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        # Anchors can be nested into exponential size, and tags ask for types that no key has.
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise yaml.composer.ComposerError(
                None, None, "anchors, aliases and tags (&, *, !) are not supported", event.start_mark
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

    @staticmethod
    def _refuse(problem: str, node: yaml.Node) -> yaml.YAMLError:
        return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


class _Dumper(yaml.SafeDumper):
    def represent_sequence(
        self, tag: str, sequence: Any, flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        return super().represent_sequence(tag, sequence, flow_style=True)


_resolver: type[yaml.resolver.Resolver]
for _resolver in (_Loader, _Dumper):
    # YAML 1.2 reads 1e-3 as a number, PyYAML (1.1) as text. The dumper shares the rule to quote such text.
    _resolver.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
        list("-+.0123456789"),
    )


def parse_yaml(text: str, where: str) -> Any:
    """The plain data in `text` (one document). Raises `UserError` with `where` and, if known, the line."""
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
