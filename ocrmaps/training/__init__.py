"""Training under Lightning: a thin module, the data adapter, scoring in original coordinates, checkpoints, watchers."""
