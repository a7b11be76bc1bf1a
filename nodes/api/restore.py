"""TenantService on nodes, one call of it: bring a tenant that is served here back to what it was.

The state is rebuilt aside, compared, and put in place by one entry of the shard's journal. A retry finds that entry by
its request id, wherever the shard is served by then.
"""
# ruff: noqa: N802 - the .proto names the methods

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import grpc

from core.errors import MalformedError, RequestIdReusedError, TwinholdError, UnavailableError, UnknownOutcomeError
from core.io.serve import Context, principal_of
from core.names import tenant_name
from core.ports import Clock
from nodes.app_table import AppTable, type_url
from nodes.apps import restore as restore_app
from nodes.apps.wire import AppPiece, Recorded
from nodes.archive_chain import moment
from nodes.driver import NodeDriver
from nodes.io.archive_reader import ArchiveReader, Rebuilt
from nodes.ledger import Ledger, Submitted
from nodes.restoring import Counted, counted, exported
from nodes.views import Answered, Outcome
from twinhold.v1 import journal_pb2, tenant_service_pb2
from twinhold.v1 import tenant_service_pb2 as pb

SERVICE = tenant_service_pb2.DESCRIPTOR.services_by_name["TenantService"].full_name
ENTRY_BYTES = 512 * 1024
"""Of state in one entry; a larger one is laid ready in several."""
COMMIT_S = 30.0
REASON_LENGTH_MAX = 200


class RestoreService:
    """Restores tenants.

    Args:
        driver: serves them.
        reader: rebuilds them.
        apps: what this node runs.
        clock: says what is in the future.
        pointed: adds to an error that names an owner where that one is dialled.
    """

    def __init__(
        self,
        driver: NodeDriver,
        reader: ArchiveReader,
        apps: AppTable,
        *,
        clock: Clock,
        pointed: Callable[[TwinholdError], TwinholdError],
    ) -> None:
        self._driver = driver
        self._reader = reader
        self._apps = apps
        self._clock = clock
        self._pointed = pointed
        self._turn = asyncio.Lock()
        """One state is rebuilt at a time: each may take a lot of memory."""

    def handlers(self) -> "grpc.GenericRpcHandler[Any, Any]":
        """Make the one method for ``add_generic_rpc_handlers``; Any: as in gRPC's own type."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "RestoreTenant": grpc.unary_unary_rpc_method_handler(
                    self.RestoreTenant,
                    request_deserializer=pb.RestoreTenantRequest.FromString,
                    response_serializer=pb.RestoreTenantResponse.SerializeToString,
                )
            },
        )

    async def RestoreTenant(self, request: pb.RestoreTenantRequest, context: Context) -> pb.RestoreTenantResponse:
        """Restore a tenant, or say what that would change."""
        self._check(request)
        actor = principal_of(context).name
        try:
            done_before = self._recorded(request, actor)
            if done_before is not None:
                return done_before
            async with self._turn:
                return await self._restore(request, actor)
        except RequestIdReusedError:
            done_before = self._recorded(request, actor)
            if done_before is None:
                raise
            return done_before
        except TwinholdError as error:
            raise self._pointed(error) from error

    def _check(self, request: pb.RestoreTenantRequest) -> None:
        tenant_name(request.name)
        now_ms = self._clock.wall_ms()
        if not 0 < request.at_ms <= now_ms:
            raise MalformedError("time", moment(request.at_ms), expected=f"one in the past; it is {moment(now_ms)}")
        if not request.validate_only and not request.request_id:
            raise MalformedError("request_id", "", expected="a fresh UUID; a retry uses the same one")
        if len(request.reason) > REASON_LENGTH_MAX:
            raise MalformedError("reason", request.reason, expected=f"at most {REASON_LENGTH_MAX} characters")

    def _ledger(self, tenant: str) -> Ledger:
        """Find the tenant's shard; raises NotOwnerError or UnavailableError when it is not served here."""
        desk = self._driver.desk(tenant)
        if not desk.serving:
            raise desk.refusal()
        return desk.replay.ledger

    def _recorded(self, request: pb.RestoreTenantRequest, actor: str) -> pb.RestoreTenantResponse | None:
        """Find what the same request did before; None: nothing."""
        known = self._ledger(request.name).recorded(request.name, actor, request.request_id)
        if known is None or request.validate_only:
            return None
        if known.lsn > self._driver.desk(request.name).commit_lsn:
            raise UnavailableError("the same restore is being committed: retry", retry_after_s=0.5)
        return _replayed(request, known)

    async def _restore(self, request: pb.RestoreTenantRequest, actor: str) -> pb.RestoreTenantResponse:
        tenant = request.name
        self._ledger(tenant).held(tenant)  # an unknown tenant is told before anything is read
        rebuilt = await self._reader.rebuilt(self._driver.desk(tenant), tenant, request.at_ms)
        pieces = list(exported(self._apps, rebuilt.held))
        changes = counted(self._apps, self._ledger(tenant).held(tenant), rebuilt.held)
        response = pb.RestoreTenantResponse(
            at_ms=request.at_ms,
            as_of_lsn=rebuilt.as_of_lsn,
            counts=_counts(changes),
            state_bytes=sum(len(piece.body) for piece in pieces),
        )
        if not request.validate_only:
            response.lsn = await self._put_in_place(request, actor, rebuilt, pieces, response.counts)
        return response

    async def _put_in_place(
        self,
        request: pb.RestoreTenantRequest,
        actor: str,
        rebuilt: Rebuilt,
        pieces: Sequence[AppPiece],
        counts: Iterable[journal_pb2.RestoreCount],
    ) -> int:
        """Journal the restore; returns its entry."""
        restored = journal_pb2.RestoredTenant(
            at_ms=request.at_ms, as_of_lsn=rebuilt.as_of_lsn, counts=counts, reason=request.reason
        )
        groups = list(_grouped(pieces))
        if len(groups) > 1:
            restored.attempt, restored.parts = secrets.token_hex(8), len(groups)
            for number, group in enumerate(groups):
                step = restore_app.staged_step(restored.attempt, number, group)
                await self._submit(request.name, actor, f"{restored.attempt}.{number}", step)
        step = restore_app.restored_step(restored, groups[0] if len(groups) == 1 else ())
        return (await self._submit(request.name, actor, request.request_id, step)).lsn

    async def _submit(self, tenant: str, actor: str, request_id: str, body: bytes) -> Answered:
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            if not waiting.done():
                waiting.set_result(outcome)

        url = type_url(journal_pb2.RestoreStep)
        self._driver.submit(Submitted(tenant, restore_app.NAME, body, url, actor, request_id), done)
        try:
            async with asyncio.timeout(COMMIT_S):
                outcome = await waiting
        except TimeoutError as cause:
            raise UnknownOutcomeError("the restore may have happened: ask again under the same request id") from cause
        if isinstance(outcome, TwinholdError):
            raise outcome
        return outcome


def _replayed(request: pb.RestoreTenantRequest, known: Recorded) -> pb.RestoreTenantResponse:
    answer = journal_pb2.RestoreAnswer.FromString(known.answer) if known.app == restore_app.NAME else None
    if answer is None or answer.at_ms != request.at_ms:
        raise RequestIdReusedError(
            f"request id {request.request_id!r} was used before for something else: use a fresh id",
            request_id=request.request_id,
            lsn=known.lsn,
        )
    return pb.RestoreTenantResponse(
        at_ms=answer.at_ms, as_of_lsn=answer.as_of_lsn, counts=answer.counts, lsn=known.lsn, replayed=True
    )


def _counts(changes: Iterable[Counted]) -> list[journal_pb2.RestoreCount]:
    return [
        journal_pb2.RestoreCount(
            app=app, kind=change.kind, added=change.added, removed=change.removed, changed=change.changed
        )
        for app, change in changes
    ]


def _grouped(pieces: Iterable[AppPiece]) -> Iterable[list[AppPiece]]:
    """Cut a state into entries of bounded size."""
    group, size = list[AppPiece](), 0
    for piece in pieces:
        if group and size + len(piece.body) > ENTRY_BYTES:
            yield group
            group, size = [], 0
        group.append(piece)
        size += len(piece.body)
    yield group
