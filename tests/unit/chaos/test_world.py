"""Virtual time: in which order callbacks run, and which do not."""

from chaos.sim.time import World, host


def test_callbacks_run_by_time_and_equal_times_in_the_order_in_which_they_were_asked_for() -> None:
    world, ran = World(1), list[str]()
    world.at(2.0, lambda: ran.append("late"))
    world.at(1.0, lambda: ran.append("first"))
    world.at(1.0, lambda: ran.append("second"))
    world.run(3.0)
    assert ran == ["first", "second", "late"]


def test_what_was_cancelled_does_not_run_and_what_is_cancelled_too_late_does_no_harm() -> None:
    world, ran = World(1), list[str]()
    one = host(world, "one", drift_ratio=0.0)
    gone = one.call_at(one.now() + 1.0, lambda: ran.append("cancelled"))
    over = one.call_at(one.now() + 1.0, lambda: ran.append("kept"))
    gone.cancel()
    world.run(2.0)
    over.cancel()
    one.call_at(one.now() + 1.0, lambda: ran.append("next"))
    world.run(4.0)
    assert ran == ["kept", "next"]


def test_what_is_cancelled_while_its_host_stands_still_does_not_run_when_it_thaws() -> None:
    world, ran = World(1), list[str]()
    one = host(world, "one", drift_ratio=0.0)
    gone = one.call_at(one.now() + 1.0, lambda: ran.append("cancelled"))
    one.call_at(one.now() + 1.0, lambda: ran.append("held"))
    one.freeze()
    world.run(2.0)
    gone.cancel()
    one.thaw()
    assert ran == ["held"]


def test_the_trace_tells_apart_what_happened_and_when() -> None:
    def hashed(*happened: tuple[float, str]) -> str:
        world = World(1)
        for at, what in happened:
            world.at(at, lambda what=what: world.note(what))  # type: ignore[misc]  # bound per turn
        world.run(10.0)
        return world.trace_hash

    assert hashed((1.0, "a"), (2.0, "b")) == hashed((1.0, "a"), (2.0, "b"))
    assert len({hashed((1.0, "a"), (2.0, "b")), hashed((1.0, "b"), (2.0, "a")), hashed((1.0, "a"), (3.0, "b"))}) == 3
