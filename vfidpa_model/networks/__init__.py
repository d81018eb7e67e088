"""The networks alone: VFI-DPA, its backbones, DeformNet and head, the AHIQ baseline, and their configuration."""
