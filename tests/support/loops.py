"""Coroutines in tests that are none: a loop of their own, wherever they run."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Return what `work` returns. Where a browser was driven before, the main thread's loop is in use."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
