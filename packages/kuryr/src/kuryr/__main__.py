"""`python -m kuryr` is the `kuryr` command."""

import sys

from kuryr.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
