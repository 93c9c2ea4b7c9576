"""The sparse U-Net, its input, its files, and encode()."""
