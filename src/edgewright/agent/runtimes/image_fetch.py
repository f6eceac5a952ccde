"""Brings the images of a component onto the engine: the first time by name, ever after by what that was."""

from collections.abc import Iterable, Mapping

from edgewright.agent.runtimes import FetchedWrongError, FetchError
from edgewright.agent.runtimes.engine import Engine, is_pinned, registry_of
from edgewright.agent.runtimes.image_space import ImageSpace
from edgewright.agent.runtimes.images import ImageKeeper, Pin, pin_of, repository_of
from edgewright.net.oci import RegistryError, RegistryPool
from edgewright.net.registries import Registries

Wanted = tuple[str, str | None, str]
"""An image as its service wants it: reference, platform or None, pull policy."""

_NOT_AGAIN = ("never", "missing", "if_not_present")


class ImageFetcher:
    """Fetches images; each is kept (`ImageKeeper`) from then on."""

    def __init__(
        self, engine: Engine, registries: Registries, pool: RegistryPool, keeper: ImageKeeper
    ) -> None:
        self._engine = engine
        self._registries = registries
        self._pool = pool
        self._keeper = keeper
        self._space = ImageSpace(engine, pool)

    def fetch(self, images: Mapping[str, Wanted], known: Mapping[str, Pin]) -> dict[str, Pin]:
        """Bring every image here; return by service what it is.

        `known` are the pins of an earlier fetch of the same component, which hold whatever happens. Room is
        made sure of before the first byte is downloaded.
        """
        again = {service: known[service] for service in images if service in known}
        lost = {pin.digest: None for pin in again.values() if self._engine.image_id(pin.id) is None}
        new = {service: wanted for service, wanted in images.items() if service not in again}
        pulls = {wanted[:2]: None for wanted in new.values() if self._is_pulled(wanted)}
        platforms = {pin.digest: images[service][1] for service, pin in again.items()}
        self._space.check([*pulls, *((digest, platforms[digest]) for digest in lost if digest)])
        for service, pin in again.items():
            self._bring_back(service, pin, images[service][1])
        pins = again | self._fetch_new(new)
        for image_id in {pin.id for pin in pins.values()}:
            self._keeper.keep(image_id)
        return pins

    def check_replacements(self, images: Iterable[Pin]) -> None:
        """Raise FetchError unless every one of `images` can be had again from its registry now."""
        for pin in images:
            if not pin.digest:
                raise FetchError(f"image {pin.id} did not come from a registry, and cannot be fetched again")
            host = registry_of(pin.digest)
            repository = repository_of(pin.digest).removeprefix(f"{host}/")
            try:
                self._pool.client(host).manifest(repository, pin.digest.partition("@")[2])
            except RegistryError as error:
                raise FetchError(f"image {pin.digest} cannot be fetched again now: {error}") from error

    def _fetch_new(self, images: Mapping[str, Wanted]) -> dict[str, Pin]:
        pins: dict[tuple[str, str | None], Pin] = {}
        for service, (image, platform, policy) in sorted(images.items()):
            if (image, platform) not in pins:
                pins[image, platform] = self._fetch_one(service, image, platform, policy)
        return {service: pins[image, platform] for service, (image, platform, _) in images.items()}

    def _fetch_one(self, service: str, image: str, platform: str | None, policy: str) -> Pin:
        """Pull one image as its service wants it; what is here is good enough if nothing newer comes."""
        here = self._engine.image(image)
        if self._is_pulled((image, platform, policy)):
            try:
                self._pull(image, platform)
            except FetchError as error:
                if here is None:
                    raise FetchError(f"service {service}: {error}") from error
            here = self._engine.image(image)
        if here is None:
            why = ", and pull_policy is never" if policy == "never" else ", though it was pulled"
            raise FetchError(f"service {service}: image {image} is not on this device{why}")
        return pin_of(image, here)

    def _is_pulled(self, wanted: Wanted) -> bool:
        image, _, policy = wanted
        if policy == "never":
            return False
        return not (policy in _NOT_AGAIN or is_pinned(image)) or self._engine.image_id(image) is None

    def _bring_back(self, service: str, pin: Pin, platform: str | None) -> None:
        """Pull an image that was here before by its digest."""
        if self._engine.image_id(pin.id) is not None:
            return
        if not pin.digest:
            raise FetchError(f"service {service}: image {pin.id} is gone and did not come from a registry")
        self._pull(pin.digest, platform)
        found = self._engine.image_id(pin.digest)
        if found != pin.id:
            raise FetchedWrongError(f"service {service}: image {pin.digest} was {pin.id}, and is {found} now")

    def _pull(self, reference: str, platform: str | None) -> None:
        with self._keeper.pulling(reference):
            self._engine.pull(reference, self._registries, platform=platform)
