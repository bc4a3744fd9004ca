"""Settings every test needs before torch is loaded."""

from __future__ import annotations

import os

# OpenMP threads that spin while they wait make training 20 times slower as soon as one neighbour is busy.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
