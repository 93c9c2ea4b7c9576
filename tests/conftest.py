"""What every test shares."""

import torch

# Tests are small: threads that wait for each other on a busy machine only slow them down.
torch.set_num_threads(1)
