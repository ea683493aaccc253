"""build/bench.json: what the benchmarks measured last, each in a section of its own."""

import json
from pathlib import Path

FILE = Path("build/bench.json")


def save(section: str, figures: object) -> None:
    """Replaces one section; the others stay."""
    sections = json.loads(FILE.read_text()) if FILE.exists() else {}
    sections[section] = figures
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(sections, indent=1) + "\n")
