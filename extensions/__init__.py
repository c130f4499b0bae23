"""Your components: each module here is a plugin that an experiment names under `imports`."""
