"""Weights that a model starts from: files of checkpoints, safetensors and state dicts, and what of them it takes."""
