"""``python -m actorflow``."""

from __future__ import annotations

import sys

from actorflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
