from hypothesis import given
from hypothesis import strategies as st

from kuryr.model.ownership import ClusterId, PoolUid, Slot, device_id, device_owner, mac_address, parse_device_id

_UIDS = st.uuids().map(str)


@given(_UIDS, st.integers(0, 10_000))
def test_a_device_id_names_its_slot(pool: str, index: int) -> None:
    slot = Slot(PoolUid(pool), index)
    assert parse_device_id(device_id(slot)) == slot


@given(st.text())
def test_a_device_id_of_somebody_else_is_not_ours(text: str) -> None:
    found = parse_device_id(text)
    assert found is None or text.startswith("kuryr:")


def test_a_device_id_is_not_shaped_like_an_instance() -> None:
    assert parse_device_id("3fa85f64-5717-4562-b3fc-2c963f66afa6") is None


@given(_UIDS, _UIDS, st.integers(0, 10_000))
def test_a_mac_is_derived_unicast_and_locally_administered(cluster: str, pool: str, index: int) -> None:
    slot = Slot(PoolUid(pool), index)
    mac = mac_address(ClusterId(cluster), slot)
    first = int(mac.split(":")[0], 16)
    assert mac == mac_address(ClusterId(cluster), slot)
    assert first & 0b11 == 0b10
    assert len(mac) == 17


def test_slots_of_a_pool_have_different_macs() -> None:
    macs = {mac_address(ClusterId("c"), Slot(PoolUid("p"), index)) for index in range(5_000)}
    assert len(macs) == 5_000


def test_the_owner_is_one_that_neutron_takes_for_a_compute_port() -> None:
    assert device_owner(ClusterId("abc")) == "compute:kuryr-abc"
