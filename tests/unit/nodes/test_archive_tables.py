"""The archive's tables in Cassandra: one keyspace per geography, in no data center outside of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import MalformedError
from core.names import DcId, GeographyId
from nodes.archive_tables import BUCKET_CHUNKS, CHUNK_BYTES, chunks_of, joined, keyspace_of, schema, sites_of
from regions.io.load import load

EU = GeographyId("eu")


def test_a_geography_has_a_keyspace_of_its_own_in_its_own_data_centers_only() -> None:
    sites = {"dc1": DcId("fra1"), "dc2": DcId("ams1"), "dc3": DcId("iad1")}
    found = sites_of(sites, load("reference"), EU)
    assert found == {"dc1": DcId("fra1"), "dc2": DcId("ams1")}
    assert sites_of(sites, load("reference"), GeographyId("kz")) == {}
    made = schema(keyspace_of("twinhold", EU), {"dc1": 5, "dc2": 1})
    assert "twinhold_archive_eu WITH replication" in made[0]
    assert "'dc1': 3, 'dc2': 1" in made[0]


def test_the_same_tables_have_the_same_ids_and_others_have_others() -> None:
    assert schema("one", {"dc1": 1}) == schema("one", {"dc1": 1})
    ids = {text.rpartition(" = ")[2] for keyspace in ("one", "two") for text in schema(keyspace, {"dc1": 1})[1:]}
    assert len(ids) == 4


def test_a_keyspace_whose_archives_would_have_too_long_a_name_is_refused() -> None:
    with pytest.raises(MalformedError, match="at most 37 characters"):
        keyspace_of("a" * 38, EU)


@given(st.lists(st.integers(0, 5 * CHUNK_BYTES), max_size=6))
def test_what_is_cut_into_rows_comes_together_again(sizes: list[int]) -> None:
    parts = [bytes(size) for size in sizes]
    chunks = list(chunks_of(parts))
    assert joined([(chunk.part, chunk.body) for chunk in chunks]) == parts
    assert all(len(chunk.body) <= CHUNK_BYTES for chunk in chunks)
    assert [chunk.bucket for chunk in chunks] == [number // BUCKET_CHUNKS for number in range(len(chunks))]
