"""Property tests here assert what is true, never how long it took: a loaded machine is no failure."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
