"""What Hypothesis draws, always the same: `settings(backend=STEADY, derandomize=True)`.

Its own backend also draws constants that it finds in the source of whatever modules are loaded. So even a
derandomized test meets other cases with every change anywhere, and in a run of all tests others than alone.
"""

from random import Random
from typing import NoReturn

from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, PrimitiveProvider


class SteadyDraws(PrimitiveProvider):
    """Draws booleans and bounded integers from one seed: all that choosing among given things takes."""

    lifetime = "test_function"

    def __init__(self, conjecturedata: object) -> None:
        super().__init__(None)
        self._random = Random(0)

    def draw_boolean(self, p: float = 0.5) -> bool:
        return self._random.random() < p

    def draw_integer(
        self,
        min_value: int | None = None,
        max_value: int | None = None,
        *,
        weights: dict[int, float] | None = None,
        shrink_towards: int = 0,
    ) -> int:
        assert weights is None
        assert min_value is not None
        assert max_value is not None
        return self._random.randint(min_value, max_value)

    def draw_float(self, **_: object) -> NoReturn:
        raise NotImplementedError

    draw_string = draw_bytes = draw_float  # type: ignore[assignment]


STEADY = "edgewright-steady"
AVAILABLE_PROVIDERS[STEADY] = SteadyDraws
