"""YAML as plain data, from a file that may hold anything: a ``devices.yaml`` is read from the current folder."""

from pathlib import Path
from typing import Any

import yaml

from qkd_pl.errors import DeviceConfigError

MAX_BYTES = 1_000_000
_MAX_DEPTH = 20
# What YAML's scalars raise when they are not what they look like: 2001-13-41, 0x_, 1:99999999….
_SCALAR_ERRORS = (ValueError, TypeError, OverflowError, IndexError, KeyError, AttributeError)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file: dictionaries with text keys, lists, texts, numbers, booleans, None.

    Aliases, merge keys and tags are refused: with them, a file of a few hundred bytes can stand for gigabytes.

    Raises:
        DeviceConfigError: the file is missing, larger than 1 MB, or not such YAML; the message names file and line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise DeviceConfigError(f"{path}: is larger than {MAX_BYTES:,} bytes, the most that a device file may have")
        return yaml.load(content.decode("utf-8"), Loader=_PlainLoader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise DeviceConfigError(f"{path}: no such device file") from None
    except DeviceConfigError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceConfigError(f"{path}: cannot be read ({error})") from error
    except (yaml.YAMLError, *_SCALAR_ERRORS) as error:
        raise DeviceConfigError(f"{path}: not valid YAML: {str(error)[:500]}") from error


class _PlainLoader(yaml.SafeLoader):
    """YAML's safe loader without aliases, tags, deep nesting, and keys that stand twice."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self._refuse(f"alias *{event.anchor}: aliases are not allowed", event)
        if getattr(event, "tag", None) is not None:
            self._refuse(f"tag {event.tag}: tags are not allowed", event)
        if self._depth == _MAX_DEPTH:
            self._refuse(f"more than {_MAX_DEPTH} levels", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not a string", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    @staticmethod
    def _refuse(problem: str, event: Any) -> None:
        raise yaml.constructor.ConstructorError(None, None, problem, event.start_mark)
