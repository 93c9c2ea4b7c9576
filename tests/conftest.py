"""What every test shares."""

import os

# Tests are small, and several run at once: threads that wait for each other only slow them down.
# The variable is for the tools that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

import torch

torch.set_num_threads(1)
