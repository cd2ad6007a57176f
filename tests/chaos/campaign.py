"""Many seeds of the laws of delivery: ``python -m tests.chaos.campaign --seeds 100000``."""

from __future__ import annotations

import sys

from actorflow.testing.campaign import main
from tests.chaos.simulated import DeliveryExperiment

if __name__ == "__main__":
    sys.exit(main(experiment=DeliveryExperiment.of, module="tests.chaos.campaign"))
