"""The monitor of a fine-tuning job (section 10.3)."""

from contextlib import closing
from uuid import UUID

from dependency_injector.wiring import Provide, inject

from maas.application.finetuning.monitoring import JobMonitor
from maas.container import Container
from maas.domain.identity import Permission
from maas.entrypoints.http.finetuning_forms import ProgressMessage
from maas.entrypoints.websocket.client import SocketClient
from maas.entrypoints.websocket.routes import SocketRoutes

routes = SocketRoutes()
_PROGRESS = ProgressMessage()


@routes.route("/finetune/jobs/<uuid:job_id>/monitor", access=Permission.FINETUNE_READ)
@inject
def monitor(client: SocketClient, job_id: UUID, jobs: JobMonitor = Provide[Container.job_monitor]) -> None:
    """Send where the job stands, then each change; the connection is closed after the final state."""
    kind = "snapshot"
    with closing(jobs.follow(client.actor, job_id)) as following:
        for progress in following:
            if not client.is_open:
                return
            if progress is not None:
                client.send({"type": kind, **_PROGRESS.dump(progress)})
                kind = "progress"
