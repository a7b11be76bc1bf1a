"""What a trace says, drawn: columns, arrows, deeds and faults."""

from chaos.diagram import WIDTH, diagram

HOSTS = ("ber1-c1", "ams1-c1", "fra1-c1", "ber1-cp")
TRACE = """\
    4.900000 ber1-c1 -> ams1-c1 Invite
    4.950000 ber1-c1 -> ber1-cp Report
    5.000000 fault Freeze(name='ams1-c1', for_s=3.0)
    5.000000 ams1-c1 freezes
    5.100000 ber1-c1 -> fra1-c1 Append
    5.200000 ber1-c1 -> fra1-c1 Append
    5.250000 fra1-c1 link.measured [('asked_ms', 6.0)]
    5.300000 fra1-c1 -> ber1-c1 Ack
    5.400000 ber1-c1 promotion.serves [('epoch', 2), ('shard', 3)]
    9.000000 fra1-c1 crashes
""".splitlines()


def test_messages_are_arrows_deeds_stand_in_their_column_and_faults_go_across() -> None:
    drawn = diagram(TRACE, hosts=HOSTS, until_s=6.0)
    assert drawn.splitlines() == [
        "    time s  ber1-c1             ams1-c1             fra1-c1",
        "    4.9000  o------Invite------>|                   |",
        "    5.0000 ~~~ fault Freeze(name='ams1-c1', for_s=3.0) " + "~" * 63,
        "    5.0000  |                   * freezes           |",
        "    5.1000  o--------------Append x2--------------->|",
        "    5.3000  |<----------------Ack-------------------o",
        "    5.4000  * promotion.serves epoch=2 shard=3      |",
    ]


def test_only_the_last_rows_are_drawn_and_none_is_too_wide() -> None:
    trace = [f"{n}.000000 host-{n % 30} does something that takes many words to say: {'word ' * 40}" for n in range(99)]
    drawn = diagram(trace, hosts=[f"host-{n}" for n in range(30)], until_s=98.0, rows=20).splitlines()
    assert len(drawn) <= 21
    assert all(len(line) <= WIDTH for line in drawn)


def test_a_trace_of_nothing_but_the_worlds_news_is_a_list() -> None:
    assert diagram(["1.0 everything heals"], hosts=HOSTS, until_s=2.0) == "    1.0000 everything heals"


def test_what_is_about_other_shards_is_left_out() -> None:
    trace = [
        "1.0 ber1-c1 -> ams1-c1 Append 3:5-6, Ack 2:9, Heartbeat",
        "2.0 ber1-c1 -> ams1-c1 Append 2:10-10",
        "3.0 ams1-c1 promotion.serves [('epoch', 2), ('shard', 2)]",
        "4.0 ams1-c1 promotion.serves [('epoch', 2), ('shard', 3)]",
        "5.0 ams1-c1 crashes",
    ]
    drawn = diagram(trace, hosts=HOSTS, until_s=9.0, shard=3)
    assert "-Append 3:5-6-" in drawn
    assert "Ack" not in drawn
    assert [line.split()[0] for line in drawn.splitlines()[1:]] == ["1.0000", "4.0000", "5.0000"]
