"""Media types, artefact types and the paths of the device API, as constants (spec: 2.1, 2.2, CMP-3, REG-3).

Standard library only: the watch imports this module.
"""

SPECIFICATION_VERSION = "1.0.0-rc.3"

MANIFEST = "application/vnd.margo.manifest.v1+json"
BUNDLE = "application/vnd.margo.bundle.v1+tar+gzip"
YAML = "application/yaml"
JSON = "application/json"
PROBLEM = "application/problem+json"

APP_ARTIFACT = "application/vnd.margo.app.v1+json"
APP_DESCRIPTION_LAYER = "application/vnd.margo.app.description.v1+yaml"
APP_RESOURCES = ("icon", "descriptionFile", "licenseFile", "releaseNotes")
APP_RESOURCE_ANNOTATION = "org.margo.app.resource"

COMPOSE_ARTIFACT = "application/vnd.org.margo.component.compose+json"
COMPOSE_LAYER = "application/vnd.org.margo.component.compose.tar+gzip"
COMPONENT_TYPE_ANNOTATION = "org.margo.component.type"
COMPONENT_VERSION_ANNOTATION = "org.margo.component.version"

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_TITLE_ANNOTATION = "org.opencontainers.image.title"
OCI_VERSION_ANNOTATION = "org.opencontainers.image.version"

DEPLOYMENTS_PATH = "/api/v1/deployments"
BUNDLES_PATH = "/api/v1/bundles"
CAPABILITIES_PATH = "/api/v1/capabilities"
DISCOVERY_PATH = "/.well-known/margo"
TRUST_BUNDLE_PATH = "/.well-known/spiffe/bundle.json"
ENROLL_PATH = "/edgewright/v1/enroll"
ADMISSION_PATH = "/edgewright/v1/enroll/requests"
POLICY_PATH = "/edgewright/v1/policy"
SITE_PATH = "/edgewright/v1/site"
REPOSITORY_PATH = "/edgewright/v1/repository"


def app_resource_layer(resource: str, file_format: str) -> str:
    """Return the layer type of a package resource such as ("icon", "png") (spec: REG-4)."""
    return f"application/vnd.margo.app.{resource}.v1+{file_format}"


def deployment_path(deployment_id: str, digest: str) -> str:
    """Return the server-relative path of one deployment document."""
    return f"{DEPLOYMENTS_PATH}/{deployment_id}/{digest}"


def bundle_path(digest: str) -> str:
    """Return the server-relative path of one bundle."""
    return f"{BUNDLES_PATH}/{digest}"


def status_path(deployment_id: str) -> str:
    """Return the server-relative path a deployment's status is posted to."""
    return f"{DEPLOYMENTS_PATH}/{deployment_id}/status"


def capabilities_path(device_id: str) -> str:
    """Return the server-relative path of a device's capabilities; slashes of child ids stay as they are."""
    return f"{CAPABILITIES_PATH}/{device_id}"
