"""The scripts: each is named for what happens in it."""

from dataclasses import replace

from core.assignments import Assignment, Cancel, Copy, Leader, Promote, Swap
from core.errors import TwinholdError
from core.names import NodeId
from core.orders import Order
from nodes.frames import Ack, Append, Welcome
from tests.sim.pair_script import Script
from tests.sim.pair_store import Way
from tests.sim.pair_world import TIMERS


class IsolatedPrimary(Script):
    """The primary is cut off and its standby promoted, while readers still reach the old one."""

    def strike(self) -> None:
        """Cut, promote at once, write to the new one, and read at the old one."""
        old, new = self.primary.node, self.standby.node
        self._isolate(old, restart=False)
        self.promote_standby()
        self.every(0.01, lambda: self.write(new), for_s=0.3)
        self.every(0.01, lambda: self.read(old), for_s=0.3)


class RestartedStandby(Script):
    """The primary is cut off; its standby restarts, forgets whom it granted leases, and is promoted."""

    def strike(self) -> None:
        """Cut, restart the standby, promote it as soon as it lives, write there and read at the old one."""
        old, new = self.primary.node, self.standby
        self._isolate(old, restart=False)
        new.crash(keep=None)
        self.time.after(0.01, new.start)
        self.time.after(0.02, self.promote_standby)
        self.every(0.01, lambda: self.write(new.node), for_s=0.3)
        self.every(0.01, lambda: self.read(old), for_s=0.3)


class RestartedAlone(Script):
    """The primary takes writes that its standby never gets, restarts, and is asked for them again."""

    def strike(self) -> None:
        """Cut, crash with everything on disk, restart behind the cut, promote late."""
        machine = self.primary
        self._isolate(machine.node, restart=False)
        self.every(0.005, lambda: self.write(machine.node), for_s=0.05)
        self.time.after(0.06, lambda: machine.crash(keep=None))
        self.time.after(0.08, machine.start)
        self.time.after(0.6, self.promote_standby)

    def _target(self, isolated_ratio: float) -> NodeId:
        return self.isolated or super()._target(isolated_ratio)


class GreedyLeader(Script):
    """The leader wants to bring a shard back to whoever lives: its only copy in sync is gone for a while."""

    def strike(self) -> None:
        """Go on alone for a while, lose the only copy, and promote the one that was left behind."""
        left = self.record.standby
        assert left is not None, "a shard starts in sync"
        self.part(self.primary, self.standby)
        self.evict_standby()
        self.time.after(0.2, lambda: self._lose(left))

    def _lose(self, left: Copy) -> None:
        old = self.record
        self.primary.crash(keep=None)
        wanted = replace(old, epoch=old.epoch + 1, primary=left, reason="whoever lives")
        try:
            self.store.take(wanted, Promote(), Leader())
        except TwinholdError:
            return  # the store knows better


class JoinDecided(Script):
    """A learner joins, and the primary, cut off at that moment, does not hear that it has.

    ``old`` is the primary that does not know, ``new`` the copy that joined and is promoted later.
    """

    order_by = Order.ADD

    def strike(self) -> None:
        """Let the learner join while the primary is deaf; then cut it off, and promote the learner."""
        self.old, self.new = self.primary, self.spare
        if self.order_by is Order.ADD:
            self.part(self.old, self.standby)
            self.evict_standby()
        self.time.after(0.05, self._join)

    def _join(self) -> None:
        self.untold = set(self.nodes)
        self.deaf = {self.old.node}
        before = self.record
        self.order(self.order_by, self.new)
        self.when(lambda: self.record != before, self.joined)

    def joined(self) -> None:
        """Go on: the store has decided."""
        self.untold = {self.old.node}
        self._isolate(self.old.node, restart=False)
        self.promote_new()
        self.ask_both()

    def promote_new(self) -> None:
        """Let the leader have the learner take over, by way of the switch that a SWAP needs first."""
        self.promote_standby()

    def ask_both(self) -> None:
        """Write to the new primary, read at the old one."""
        self.every(0.01, lambda: self.write(self.new.node), for_s=0.5)
        self.every(0.01, lambda: self.read(self.old.node), for_s=0.5)


class SwapDecided(JoinDecided):
    """The same for a standby's move, while the link to the standby that leaves stays whole: it goes on granting."""

    order_by = Order.SWAP

    def joined(self) -> None:
        """Part the old primary from the new copy and from the store, not from the standby that it had."""
        self.untold = {node for node in self.nodes if node != self.new.node}
        self.part(self.old, self.new)
        self.promote_new()
        self.ask_both()


class DeafInJoin(JoinDecided):
    """The primary hears nothing of the store, and nothing of its new standby, and is asked for writes."""

    def joined(self) -> None:
        """Part the two, and leave the primary in the dark."""
        self.untold = set(self.nodes)
        self.part(self.old, self.new)
        self.every(0.02, lambda: self.write(self.old.node), for_s=0.8)


class SlowOldStandby(Script):
    """The standby moves, and the one that is to leave is slower than the one that comes."""

    def strike(self) -> None:
        """Slow a disk down, write, and swap."""
        primary = self.primary.node
        self.disks_s[self.standby.node] = 0.08
        self.every(0.005, lambda: self.write(primary), for_s=0.4)
        self.order(Order.SWAP, self.spare)
        self.time.after(1.0, self.disks_s.clear)


class RestartedInJoin(JoinDecided):
    """The primary restarts with its intent, behind the cut, and knows nothing of the record that it asked for."""

    def joined(self) -> None:
        """Cut, restart, and ask it for writes."""
        self.untold = set(self.nodes)
        self._isolate(self.old.node, restart=False)
        self.old.crash(keep=None)
        self.time.after(0.01, self.old.start)
        self.every(0.02, lambda: self.write(self.old.node), for_s=0.6)

    def map_at_start(self, node: NodeId) -> list[Assignment]:
        """Find an old map, or none."""
        return [] if node in self.untold else super().map_at_start(node)


class RestartedInJoinAndRead(RestartedInJoin):
    """It restarts beside its learner, which does not know the new record either; later the learner is promoted."""

    def joined(self) -> None:
        """Restart within reach of the learner, and cut it off when it serves."""
        self.untold = set(self.nodes)
        self.old.crash(keep=None)
        self.time.after(0.005, self.old.start)
        self.when(lambda: self.serves(self.old), self._cut_off)

    def _cut_off(self) -> None:
        self.untold = {self.old.node}
        self._isolate(self.old.node, restart=False)
        self.promote_new()
        self.ask_both()


class EvictedGrantor(JoinDecided):
    """The standby moves; the new one has not granted for a while, when it is taken for the survivor at once."""

    order_by = Order.SWAP

    def _join(self) -> None:
        before = self.record
        self.way = replace(self.way, late_ratio=1.0, late_s=(0.13, 0.14))
        self.order(self.order_by, self.new)
        self.when(lambda: self.asked(Swap), lambda: self.part(self.old, self.new))
        self.when(lambda: self.record != before, self.joined)

    def joined(self) -> None:
        """Let the old primary hear of its record, then cut it off."""
        self.when(lambda: self.fence_of(self.old) == self.record.fence, self._cut_off)

    def _cut_off(self) -> None:
        self._isolate(self.old.node, restart=False)
        self.promote_new()
        self.ask_both()


class HastyPromoted(Script):
    """The promoted copy is told to take a second one in while it still waits for the leases of the old primary.

    That one was the standby some time ago: it owes nobody a wait.
    """

    def strike(self) -> None:
        """Move the standby, and wait until the one that left has no grants."""
        self.old, self.third, self.second = self.primary, self.standby, self.spare
        self.way = Way(0.0, trip_s=(0.0005, 0.001), late_ratio=0.0)
        self.order(Order.SWAP, self.second)
        self.time.after(0.4, self._begin_after_a_beat)

    def _begin_after_a_beat(self) -> None:
        """Leave a whole beat's time in which the new primary asks nobody for a lease."""
        beat_s = TIMERS.heartbeat_s
        self.time.after(beat_s - self.second.host.now() % beat_s + 0.001, self._cut_off)

    def _cut_off(self) -> None:
        self._isolate(self.old.node, restart=False)
        self.promote_standby()
        self.when(lambda: self.fence_of(self.second) == self.record.fence, self._add)
        self.every(0.005, lambda: self.write(self.third.node), for_s=0.4)
        self.every(0.005, lambda: self.read(self.old.node), for_s=0.4)

    def _add(self) -> None:
        self.order(Order.ADD, self.third)
        self.when(lambda: not self.record.solo, self.promote_standby)


class BusySwitchover(Script):
    """Roles change while the standby's disk is slow and many write."""

    def strike(self) -> None:
        """Slow the disk down, write, and switch."""
        primary = self.primary.node
        self.disks_s[self.standby.node] = 0.1
        self.every(0.005, lambda: self.write(primary), for_s=0.2)
        self.time.after(0.05, lambda: self.order(Order.SWITCHOVER))
        self.time.after(0.5, self.disks_s.clear)


class LateSwitchover(Script):
    """The store takes a switchover long after the primary has asked for it."""

    def strike(self) -> None:
        """Slow the way to the store down to more than a drain may last, and switch."""
        self.way = replace(self.way, late_ratio=1.0, late_s=(2.2, 2.3))
        self.order(Order.SWITCHOVER)


class EchoedWelcome(Script):
    """What a primary once told its returning standby arrives a second time, when much has been written since."""

    def strike(self) -> None:
        """Restart the standby, let it follow again, and echo."""
        machine = self.standby
        machine.crash(keep=None)
        self.frames.clear()
        self.time.after(0.01, machine.start)
        self.time.after(0.3, lambda: self.echo(Welcome, after_s=0.0))


class LostTail(Script):
    """The primary loses entries that its standby has, restarts, and writes others in their place.

    The standby's disk is slow then, so that it has none of the new ones for a while.
    """

    disks_until_crash_s = (0.08, 0.002)
    """The primary's, and its standby's."""
    new_epoch = False

    def strike(self) -> None:
        """Let the standby have what the primary's disk did not take in time."""
        self.old, self.other = self.primary, self.standby
        self.frames.clear()
        self.disks_s[self.old.node], self.disks_s[self.other.node] = self.disks_until_crash_s
        self.every(0.002, lambda: self.write(self.old.node), for_s=0.03)
        self.time.after(0.03, self._crash)

    def _crash(self) -> None:
        self.old.crash(keep=0)
        del self.disks_s[self.old.node]
        self.time.after(0.005, self.old.start)
        self.time.after(0.01, lambda: self.when(lambda: self.serves(self.old), self._serves_again))

    def _serves_again(self) -> None:
        if self.new_epoch:
            change, record = Cancel(), self.record
            self.store.change(self.shard, record.fence, change, record.primary, "asked for before the crash")
            self.tell(self.old)
        self.when(lambda: self.serves(self.old), self.again)

    def again(self) -> None:
        """Write in the place of what is lost."""
        self.disks_s[self.other.node] = 0.15
        self.every(0.002, lambda: self.write(self.old.node), for_s=0.04)
        self.time.after(0.3, self.disks_s.clear)


class EchoedAcks(LostTail):
    """Old acknowledgements arrive once more."""

    def again(self) -> None:
        """Write, and echo."""
        super().again()
        for after_s in (0.02, 0.03, 0.04, 0.05):
            self.echo(Ack, after_s=after_s)


class EchoedAcksOfAnEpoch(EchoedAcks):
    """The same, and the epoch has changed in between."""

    new_epoch = True


class EchoedLateAcks(EchoedAcks):
    """The standby's disk takes the old entries only when the primary has restarted already."""

    disks_until_crash_s = (0.3, 0.08)


class EchoedAppends(LostTail):
    """The old entries arrive once more, when the standby has cut them away."""

    def again(self) -> None:
        """Echo, then write."""
        self.echo(Append, after_s=0.0)
        self.time.after(0.02, super().again)


class DamagedPrimary(Script):
    """A primary in sync finds a flipped bit when it starts."""

    def strike(self) -> None:
        """Crash, flip, restart, and let the leader relieve it a while later."""
        machine = self.primary
        machine.crash(keep=None)
        machine.disk.flip(self.shard, 3)
        self.time.after(0.01, machine.start)
        self.time.after(0.4, self.promote_standby)


class DamagedAlone(Script):
    """The only copy finds a flipped bit when it starts."""

    def strike(self) -> None:
        """Go on alone; flip, restart."""
        self.part(self.primary, self.standby)
        self.evict_standby()
        self.time.after(0.2, self._flip)

    def _flip(self) -> None:
        machine = self.primary
        machine.crash(keep=None)
        machine.disk.flip(self.shard, 3)
        self.time.after(0.01, machine.start)
