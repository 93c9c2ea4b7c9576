"""Encoders of point clouds: the sparse U-Net, voxelisation, encode() and weight conversion."""
