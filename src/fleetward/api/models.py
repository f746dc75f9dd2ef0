"""The services we speak, as botocore's own models describe them, and how a request finds its operation.

Models are read on first use (iot, the largest, takes ~30 ms) and kept. Our own service `fleetward` is a model of the
same kind in the folder `models/` next to this file.
"""

from __future__ import annotations

from functools import cache, cached_property
from pathlib import Path

import botocore
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

from fleetward import errors
from fleetward.api.request import Request
from fleetward.api.routing import Routes

FOLDER = Path(__file__).parent / "models"
"""Where the model of our own service lives; a botocore session that adds it to its search paths can call us."""

SIGNING_NAMES = {
    "iot": "iot",
    "iotdata": "iot-data",
    "iotdevicegateway": "iot-data",
    "lambda": "lambda",
    "sns": "sns",
    "sts": "sts",
    "iam": "iam",
    "logs": "logs",
    "events": "events",
    "fleetward": "fleetward",
}
"""The service named in a signature's scope → the botocore model that describes it."""


class Service:
    """One service: its model, its protocol, and the operation a request is for."""

    def __init__(self, name: str, model: ServiceModel) -> None:
        self.name = name
        self.model = model
        self.protocol: str = model.metadata["protocol"]

    @cached_property
    def routes(self) -> Routes:
        """Only rest-json services have routes; the others name the operation in the request."""
        return Routes((name, self.model.operation_model(name).http) for name in self.model.operation_names)

    def operation_of(self, request: Request) -> tuple[OperationModel, dict[str, str]]:
        """The operation `request` is for, and the labels of its path (decoded).

        Raises errors.UnknownOperation when there is none.
        """
        labels: dict[str, str] = {}
        if self.protocol == "rest-json":
            name, labels = self.routes.match(request)
        elif self.protocol == "query":
            name = request.form.get("Action", "")
        else:
            prefix, _, name = request.headers.get("x-amz-target", "").rpartition(".")
            if prefix != self.model.metadata["targetPrefix"]:
                name = ""
        if name not in self._names:
            raise errors.UnknownOperation(f"{self.name} has no operation that answers to {_asked(request)}.")
        return self.model.operation_model(name), labels

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.model.operation_names)


@cache
def loader() -> Loader:
    """Finds models in botocore and in our own folder, and nowhere else (a user's ~/.aws/models is not the server's)."""
    built_in = Path(botocore.__file__).parent / "data"
    return Loader(extra_search_paths=[str(built_in), str(FOLDER)], include_default_search_paths=False)


@cache
def service(name: str) -> Service:
    """The service of that botocore name ("iot-data"). Raises botocore's UnknownServiceError for any other."""
    return Service(name, ServiceModel(loader().load_service_model(name, "service-2"), name))


def signed_for(signing_name: str) -> Service:
    """The service a signature is scoped to. Raises errors.NotImplementedHere for one we do not have."""
    if signing_name not in SIGNING_NAMES:
        served = ", ".join(sorted(set(SIGNING_NAMES)))
        raise errors.NotImplementedHere(f"Fleetward has no service {signing_name[:64]!r}; it has {served}.")
    return service(SIGNING_NAMES[signing_name])


def _asked(request: Request) -> str:
    target = request.headers.get("x-amz-target") or request.form.get("Action")
    return repr(target[:128]) if target else f"{request.method} {request.path[:256]}"
