"""Finds what is damaged of fetched Compose components, and drops it so that it can be fetched anew."""

from collections.abc import Sequence

from edgewright.agent.runtimes import Component, Damage, EngineError
from edgewright.agent.runtimes.compose_fetch import Fetcher, load_fetched
from edgewright.agent.runtimes.compose_project import OWNER_LABEL
from edgewright.agent.runtimes.engine import Engine, Image
from edgewright.agent.runtimes.image_check import image_damage
from edgewright.agent.runtimes.images import ImageKeeper
from edgewright.agent.runtimes.integrity import file_damage


def is_whole(component: Component, engine: Engine) -> bool:
    """Tell whether all files of a component are what was fetched, and its images are here at all."""
    fetched = load_fetched(component)
    return (
        fetched is not None
        and file_damage(component.directory, fetched.files) is None
        and all(engine.image_id(image_id) for image_id in fetched.image_ids())
    )


class DamageFinder:
    """Checks components byte by byte, each image once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._images: dict[str, str | None] = {}

    def check(self, components: Sequence[Component]) -> list[Damage]:
        """Return everything that is damaged or gone."""
        return [Damage(component, what) for component in components for what in self._damage(component)]

    def image(self, image_id: str) -> str | None:
        """Return what is wrong with one image, None if nothing is."""
        if image_id not in self._images:
            here = self._engine.image_id(image_id) is not None
            self._images[image_id] = (
                image_damage(self._engine, image_id) if here else "it is not on this device"
            )
        return self._images[image_id]

    def _damage(self, component: Component) -> list[str]:
        fetched = load_fetched(component)
        if fetched is None:
            return ["its files are not on this device, or what says so is damaged"]
        in_files = file_damage(component.directory, fetched.files)
        found = [in_files] if in_files else []
        for pin in sorted(set(fetched.pins.values()), key=lambda pin: pin.id):
            in_image = self.image(pin.id)
            if in_image is not None:
                found.append(f"image {pin.digest or pin.id}: {in_image}")
        return found


def mend_images(
    component: Component, engine: Engine, fetcher: Fetcher, keeper: ImageKeeper, *, owner: str
) -> None:
    """Remove the damaged images of a component, and with them the containers of ours that are made of them.

    Also other damaged images we keep that share a layer with one: as long as any image needs a layer, the
    engine goes on using its copy of it. Raises FetchError, removing nothing, where one cannot be had again.
    """
    fetched = load_fetched(component)
    if fetched is None:
        return
    finder = DamageFinder(engine)
    damaged = [pin for pin in set(fetched.pins.values()) if finder.image(pin.id) is not None]
    fetcher.check_replacements(damaged)
    here = [image for image in (engine.image(pin.id) for pin in damaged) if image is not None]
    layers = {layer for image in here for layer in image.layers}
    sharing = [
        image
        for image in map(engine.image, engine.image_ids())
        if image is not None and keeper.is_kept(image) and layers & set(image.layers) and image not in here
    ]
    _drop([*here, *(image for image in sharing if finder.image(image.id) is not None)], engine, owner)


def _drop(images: Sequence[Image], engine: Engine, owner: str) -> None:
    users = engine.users_of_images()
    containers = [user for image in images for user in users.get(image.id, [])]
    for user in containers:
        if user.labels.get(OWNER_LABEL) != owner:
            raise EngineError(f"container {user.name[:12]}, which is not ours, is made from a damaged image")
    for user in containers:
        engine.stop(user.name)
        engine.remove_container(user.name)
    for image in images:
        engine.remove_image(image.id, force=True)
