"""What several tests share: the testbed (engines, registry, images) and helpers around real processes.

Nothing here knows the inside of the product. `tools/testbed.py` starts what is described here once,
and every test worker uses it.
"""
