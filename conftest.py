"""Code blocks of the documentation are tests: see docs/blocks.py."""

from sybil import Sybil

from docs import blocks

pytest_collect_file = Sybil(
    parsers=[blocks.blocks],
    patterns=[
        "docs/index.md",
        "docs/operating.md",
        "docs/guide/*.md",
        "docs/reference/*.md",
        "README.md",
        "packages/kubeloop/README.md",
    ],
    teardown=blocks.close,
).pytest()
