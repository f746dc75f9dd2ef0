"""Making a certificate: its three files are shown once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.parts.notices import told

PEM = "application/x-pem-file"


async def create(operator: Operator, name: str = "", then: Callable[[str], Awaitable[None]] | None = None) -> None:
    """Makes an active certificate and hands out its files, named after `name`; `then` is told its ARN first."""
    made = await operator.do("iot", "CreateKeysAndCertificate", setAsActive=True)
    authority = await operator.do("fleetward", "GetCertificateAuthority")
    if then is not None:
        await then(made["certificateArn"])
    stem = name or made["certificateId"][:10]
    files = {
        "Device certificate": (f"{stem}.certificate.pem", made["certificatePem"]),
        "Private key": (f"{stem}.private.key", made["keyPair"]["PrivateKey"]),
        "CA certificate": ("ca.pem", authority["certificatePem"]),
    }
    told("The certificate is made, and active.")
    _hand_out(files)


def _hand_out(files: dict[str, tuple[str, str]]) -> None:
    with ui.dialog().props("persistent") as dialog, ui.card().classes("dialog"):
        ui.label("Download certificate and keys").classes("dialog-title").props("role=heading aria-level=2")
        with ui.element("section").classes("notice warn").props("role=alert"):
            ui.label("This is the only time that the private key can be downloaded: it is not kept here.")
        for title, (file, text) in files.items():
            with ui.element("div").classes("line"):
                ui.label(title)
                ui.label(file).classes("quiet")
                ui.space()
                ui.button(
                    "Download", icon="download", on_click=lambda file=file, text=text: _download(file, text)
                ).props(f'outline no-caps dense aria-label="Download {title.lower()}"')
        with ui.row().classes("dialog-buttons"):
            ui.button("Done", on_click=dialog.close).props("unelevated no-caps")
    dialog.on("hide", dialog.delete)
    dialog.open()


def _download(file: str, text: str) -> None:
    ui.download.content(text, file, PEM)
