"""Puts adopted records in the place of what a restored Cassandra holds (C10).

No conditional write spans partitions, so this is a sequence that can be taken up again by anybody who leads: what is to
be done is laid down in parts; a mark in the fleet's partition, set by compare-and-set under the leader's term, decides
it, and from then on the store says that it was restored and takes nothing else; each partition follows, each in one
write; the last one gives the store its new incarnation and takes the mark away. A record that is neither what it was
when the adoption was decided nor what it is to become has moved on under a newer leader, and is left alone.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xxhash import xxh3_128_hexdigest

from control_plane.cassandra_plan import Held
from control_plane.io.cassandra_link import CassandraLink
from control_plane.io.cassandra_rows import (
    ADOPTED,
    ADOPTING,
    PUT_PART,
    READ_PART,
    doc_put,
    key,
    record_put,
    term_put,
)
from control_plane.io.store_wire import adoption_from_pb, adoption_to_pb
from control_plane.ports import FLEET, Adoption, Applied, Partition, Refused, StaleTerm, Unknown, WriteAnswer
from control_plane.store_rules import StoreRules
from core.assignments import Assignment, Fence
from core.errors import UnavailableError
from core.names import ShardId
from twinhold.v1 import store_service_pb2 as pb

PART_BYTES = 256 * 1024
COMPLETED = "an adoption that another leader had begun was completed: read the store again"


class _StaleError(Exception):
    """A partition has a higher term: somebody else leads."""

    def __init__(self, term: int) -> None:
        super().__init__(term)
        self.term = term


@dataclass(frozen=True, slots=True)
class Begun:
    """An adoption that was decided."""

    id: str
    parts: int
    adoption: Adoption
    bases: Mapping[ShardId, Fence]
    """What the store held of its shards when it was decided; a shard that is not named: nothing."""


class CassandraAdoption:
    """Adopts, and takes up what was begun.

    Args:
        link: the way to the tables.
        rules: of every adapter.
        partitions: all that the fleet may have.
    """

    def __init__(self, link: CassandraLink, rules: StoreRules, partitions: Sequence[Partition]) -> None:
        self._link = link
        self._rules = rules
        self._partitions = partitions

    async def adopt(self, term: int, adoption: Adoption) -> WriteAnswer:
        """Do it, or complete what was begun; answers as the port says."""
        try:
            return await self._adopt(term, adoption)
        except _StaleError as stale:
            return StaleTerm(stale.term)

    async def _adopt(self, term: int, adoption: Adoption) -> WriteAnswer:
        held = dict(zip(self._partitions, await asyncio.gather(*map(self._link.read, self._partitions)), strict=True))
        highest = max(one.term for one in held.values())
        if highest > term:
            return StaleTerm(highest)
        fleet = held[FLEET]
        if fleet.own.adopting:
            begun = await self._load(fleet.own.adopting, fleet.own.adopting_parts)
            await self._complete(term, begun)
            return (Applied(),) if begun.adoption == adoption else Unknown(COMPLETED)
        records = {shard: record for one in held.values() for shard, record in one.records.items()}
        judged = self._judged(adoption, records, fleet)
        if isinstance(judged, Refused):
            return (judged,)
        bases = {one.shard: records[one.shard].fence for one in adoption.assignments if one.shard in records}
        begun = await self.lay_down(adoption, bases)
        if not await self.decide(term, begun):
            return (Refused(None),)
        await self._complete(term, begun)
        return (Applied(),)

    def _judged(self, adoption: Adoption, records: Mapping[ShardId, Assignment], fleet: Held) -> Applied | Refused:
        return self._rules.adoption(adoption, incarnation=fleet.own.incarnation, record=records.get, doc=fleet.docs.get)

    async def lay_down(self, adoption: Adoption, bases: Mapping[ShardId, Fence]) -> Begun:
        """Write down what is to be done; it is not decided yet."""
        bare = json.dumps([[shard, fence.incarnation, fence.epoch] for shard, fence in bases.items()]).encode()
        body = len(bare).to_bytes(4) + bare + adoption_to_pb(adoption).SerializeToString(deterministic=True)
        parts = [body[at : at + PART_BYTES] for at in range(0, len(body), PART_BYTES)]
        begun = Begun(xxh3_128_hexdigest(body), len(parts), adoption, bases)
        for number, part in enumerate(parts):
            while not await self._is_laid_down(begun.id, number):
                await self._put((PUT_PART, (begun.id, number, part)))
        return begun

    async def _is_laid_down(self, adoption: str, number: int) -> bool:
        return bool(await self._ask_part(adoption, number))

    async def _load(self, adoption: str, parts: int) -> Begun:
        body = b"".join([await self._ask_part(adoption, number) for number in range(parts)])
        if xxh3_128_hexdigest(body) != adoption:
            raise UnavailableError("the adoption that was begun is damaged", reason="DATA_DAMAGED")
        size = int.from_bytes(body[:4])
        bases = {ShardId(shard): Fence(*fence) for shard, *fence in json.loads(body[4 : 4 + size])}
        return Begun(adoption, parts, adoption_from_pb(pb.AdoptRequest.FromString(body[4 + size :])), bases)

    async def decide(self, term: int, begun: Begun) -> bool:
        """Set the mark; False: the store is not what the adoption was made for."""
        while True:
            fleet = await self._current(FLEET, term)
            if fleet.own.adopting == begun.id:
                return True
            if fleet.own.adopting or fleet.own.incarnation != begun.adoption.incarnation:
                return False
            was = (fleet.term or None, begun.adoption.incarnation, "")
            await self._put((ADOPTING, (term, begun.id, begun.parts, *key(FLEET), *was)))

    async def _complete(self, term: int, begun: Begun) -> None:
        homes: dict[Partition, list[Assignment]] = {}
        for new in begun.adoption.assignments:
            homes.setdefault(self._rules.home(new), []).append(new)
        others = [partition for partition in self._partitions if partition != FLEET]
        await asyncio.gather(*(self._put_records(term, begun, one, homes.get(one, [])) for one in others))
        while True:
            fleet = await self._current(FLEET, term)
            if fleet.own.adopting != begun.id:
                return
            docs = [
                doc
                for doc in begun.adoption.docs
                if doc.key not in fleet.docs or doc.version > fleet.docs[doc.key].version
            ]
            was = (fleet.term or None, begun.adoption.incarnation, begun.id)
            done = (ADOPTED, (term, begun.adoption.next_incarnation, "", *key(FLEET), *was))
            await self._put(done, *(doc_put(FLEET, doc, fleet.docs.get(doc.key)) for doc in docs))

    async def _put_records(self, term: int, begun: Begun, partition: Partition, news: Sequence[Assignment]) -> None:
        while True:
            held = await self._current(partition, term)
            due = [new for new in news if _fence(held.records.get(new.shard)) == begun.bases.get(new.shard)]
            if not due and held.term in (0, term):
                return
            await self._put(
                term_put(partition, term, held),
                *(record_put(partition, new, held.records.get(new.shard)) for new in due),
            )

    async def _current(self, partition: Partition, term: int) -> Held:
        held = await self._link.read(partition)
        if held.term > term:
            raise _StaleError(held.term)
        return held

    async def _ask_part(self, adoption: str, number: int) -> bytes:
        rows = await self._link.ask(READ_PART, (adoption, number))
        return bytes(rows[0][0]) if rows else b""

    async def _put(self, *parts: tuple[str, tuple[object, ...]]) -> None:
        """Send a write; what became of it is read in any case."""
        try:
            await self._link.put(*parts)
        except UnavailableError:
            return


def _fence(record: Assignment | None) -> Fence | None:
    return None if record is None else record.fence
