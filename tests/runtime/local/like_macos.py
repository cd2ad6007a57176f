"""A module to preload that takes away from the zygote what macOS does not have."""

from __future__ import annotations

import os

from actorflow.runtime.local import kernel

for name in ("waitid", "pidfd_open"):
    if hasattr(os, name):
        delattr(os, name)
kernel._libc = None
kernel.control_process = kernel.no_such_call
