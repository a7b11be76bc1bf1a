"""Names are parsed in one place, and what they refuse they refuse in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import MalformedError
from core.names import (
    GeographyId,
    ShardId,
    TenantName,
    collab_node,
    control_plane_id,
    dc_id,
    dc_of,
    node_id,
    shard_id,
    tenant_name,
)

slugs = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
labels = st.from_regex(r"[a-z][a-z0-9]{0,31}", fullmatch=True)


@given(geography=labels, slug=slugs)
def test_a_tenant_name_reads_back_as_it_was_printed(geography: str, slug: str) -> None:
    name = TenantName(GeographyId(geography), slug)
    assert tenant_name(str(name)) == name


@given(dc=labels, number=st.integers(1, 99))
def test_a_node_stands_in_the_data_center_that_its_name_says(dc: str, number: int) -> None:
    node = collab_node(dc_id(dc), number)
    assert node_id(f"nodes/{node}") == node
    assert dc_of(node) == dc


@pytest.mark.parametrize(
    "text",
    ["", "acme", "tenants/eu", "tenants/eu/", "tenants/EU/acme", "tenants/eu/Acme", "tenants/eu/-a", "tenants/eu/a-",
     "tenants/eu/" + "a" * 64, "tenants/eu/a/b", "tenant/eu/a", "tenants/eu/a\n"],
)  # fmt: skip
def test_a_malformed_tenant_name_is_refused_with_the_form_that_is_taken(text: str) -> None:
    with pytest.raises(MalformedError, match="expected") as refused:
        tenant_name(text)
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("text", ["fra1", "fra1-x1", "fra1-c", "-c1", "fra1-c1-c2"])
def test_a_malformed_node_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        node_id(text)


def test_shards_are_taken_bare_and_as_resources() -> None:
    assert shard_id("17") == shard_id("shards/17") == ShardId(17)
    for wrong in ("-1", "x", "shards/", "1.5", "99999999"):
        with pytest.raises(MalformedError):
            shard_id(wrong)


def test_a_control_plane_is_named_for_its_data_center() -> None:
    assert dc_of(control_plane_id("controlPlanes/fra1-cp")) == "fra1"
