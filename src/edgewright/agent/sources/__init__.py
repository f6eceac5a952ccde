"""Where desired state comes from. Every source yields the same `Snapshot`."""
