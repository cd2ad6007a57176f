"""A module that changes the import path."""

import sys

from actorflow.stage.behaviour import Producer

sys.path.insert(0, "/nowhere")


class Meddler(Producer):
    pass
