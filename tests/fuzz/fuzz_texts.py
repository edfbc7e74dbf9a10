"""Damage to ``devices.yaml`` and to lines of JSON."""

import json
import random

import yaml
from fuzz_values import as_text, damaged_bytes, damaged_tree

_SNIPPETS = (
    *("x: &a [1]\ny: *a", "<<: {shots: 1}", "shots: !!int ''", "shots: !!python/object:os.system x", "shots: 1_0"),
    *("seed: 0x" + "f" * 6000, "seed: " + "9" * 5000, "seed: 1:" + "59:" * 3000 + "1", "shots: 2001-13-41"),
    *("[" * 3000, "{" * 3000, "- " * 3000, "x: " + "[" * 25 + "]" * 25, "\t", "%YAML 1.1", "---", "...", "shots: 0b_"),
    *("options: {backend: 5}", "backend: [a]", "token_env: sesame", "max_qpu_seconds: .nan", "gradient_options: 1"),
    *("shots: .inf", "? [a]", "''", "shots: !", "? : :", "seed: -1", "plugin: qkd.ibm"),
    *(
        "url: https://cloud.ibm.com",
        'proxies: {urls: {https: "http://a:b@c"}}',
        "least_busy: {among: []}",
        "job_tags: [1]",
    ),
)


def damaged_yaml(content: bytes, rng: random.Random) -> bytes:
    """Bytes, lines, or the structure, written as the JSON that is YAML, too."""
    kind = rng.random()
    if kind < 0.25:
        return damaged_bytes(content, rng)
    if kind < 0.5:
        lines = content.decode().split("\n")
        position = rng.randrange(len(lines))
        indent = " " * rng.choice((0, 2, 4, 4, len(lines[position]) - len(lines[position].lstrip())))
        snippet = "\n".join(indent + line for line in rng.choice(_SNIPPETS).split("\n"))
        lines[position : position + rng.randrange(2)] = [snippet]
        return "\n".join(lines).encode()
    return as_text(damaged_tree(yaml.safe_load(content), rng)).encode(errors="replace")


def damaged_lines(content: bytes, rng: random.Random) -> bytes:
    """Bytes, or the structure of one or two lines; lines removed, repeated, exchanged."""
    if rng.random() < 0.2:
        return damaged_bytes(content, rng)
    lines = content.decode().split("\n")[:-1]
    for _ in range(rng.choice((1, 1, 2))):
        # The first line says which run it is, and so is worth as much as all others.
        position = 0 if rng.random() < 0.4 else rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                lines.insert(rng.randrange(len(lines)), lines[position])
            case 1 if len(lines) > 1:
                del lines[position]
            case _:
                try:
                    lines[position] = as_text(damaged_tree(json.loads(lines[position]), rng))
                except (ValueError, RecursionError):  # damaged already
                    continue
    return "\n".join([*lines, ""]).encode(errors="replace")
