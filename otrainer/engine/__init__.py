"""The training engine: state, seeds, devices, checkpoints and the loop itself."""
