"""What every test shares."""

import os

# Tests are small, and several run at once: threads that wait for each other only slow them down.
# The variable is for the tools that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)

# How long it takes to draw an input says how busy the machine is, no more.
settings.register_profile("busy", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
