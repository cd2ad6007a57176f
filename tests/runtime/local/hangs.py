"""A module that cannot be imported: the import never ends."""

from __future__ import annotations

import threading

threading.Event().wait()
