"""Which worker gets which step; no dask, no time."""

from collections import Counter

import pytest

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from run_graph.runtime.cluster.placement import SHORT, Place, Placement

GB = 10**9
T5, TRANSFORMER, VAE = {"t5": 10 * GB}, {"transformer": 24 * GB}, {"vae": GB}


def place(name: str, depth: int, kind: str) -> Place:
    return Place(depth, int("".join(filter(str.isdigit, name)) or 0), name, kind)


def added(placement: Placement, kind: str, count: int, depth: int, models: dict[str, int]) -> None:
    for number in range(count):
        placement.add(place(f"{kind}{number}", depth, kind), models)
        placement.needed.update(models)


def given(placement: Placement) -> dict[str, str]:
    return dict(placement.assignments())


def test_a_worker_that_holds_the_model_is_preferred() -> None:
    placement = Placement()
    placement.join("empty", 64 * GB, {})
    placement.join("holder", 64 * GB, TRANSFORMER)
    added(placement, "sample", 1, 3, TRANSFORMER)
    assert given(placement) == {"holder": "sample0"}


def test_work_for_all_is_spread_over_all() -> None:
    placement = Placement()
    for name in "abc":
        placement.join(name, 64 * GB, TRANSFORMER if name == "b" else {})
    added(placement, "sample", 5, 3, TRANSFORMER)
    assert sorted(given(placement)) == ["a", "b", "c"]
    assert len(placement) == 2


def test_a_model_is_not_loaded_for_work_that_its_holder_ends_sooner() -> None:
    placement = Placement()
    placement.join("holder", 64 * GB, T5)
    placement.join("other", 64 * GB, {})
    added(placement, "encode", 1, 1, T5)
    assert given(placement) == {"holder": "encode0"}
    placement.ended("holder", "encode0", T5, 2.0)
    added(placement, "encode", 4, 1, T5)  # 3 are left behind the next: 6 s, and loading takes 10 s
    assert given(placement) == {"holder": "encode0"}
    added(placement, "more", 4, 1, T5)
    placement.ended("holder", "encode0", T5, 2.0)
    assert given(placement).keys() == {"holder", "other"}  # now waiting would take longer than loading


def test_a_picture_is_finished_before_the_next_begins() -> None:
    placement = Placement()
    placement.join("a", 64 * GB, TRANSFORMER)
    added(placement, "sample", 2, 3, TRANSFORMER)
    added(placement, "decode", 1, 4, VAE)
    assert given(placement) == {"a": "decode0"}


def test_all_steps_of_a_model_run_before_it_is_given_up() -> None:
    """A worker with room for one model; as on one machine, each is then loaded once."""
    placement, resident, order = Placement(), dict[str, int](), list[str]()
    placement.join("a", 24 * GB, {})
    added(placement, "encode", 3, 1, T5)
    placement.needed.update({"transformer": 3})
    loads = Counter[str]()
    while len(placement) or order[-1:] != ["done"]:
        pairs = given(placement)
        if not pairs:
            break
        [node_id] = pairs.values()
        order.append(node_id)
        models = T5 if node_id.startswith("encode") else TRANSFORMER
        if models.keys() - resident.keys():
            loads.update(models.keys())
            resident = models
        placement.needed.subtract(models)
        placement.ended("a", node_id, resident, 5.0)
        if node_id.startswith("encode"):
            placement.add(place(f"sample{node_id[-1]}", 2, "sample"), TRANSFORMER)
    assert order == ["encode0", "encode1", "encode2", "sample0", "sample1", "sample2"]
    assert loads == {"t5": 1, "transformer": 1}


def test_a_worker_that_holds_one_model_samples_all_before_it_decodes() -> None:
    placement, order = Placement(), list[str]()
    placement.join("a", 0, {})
    added(placement, "sample", 3, 2, TRANSFORMER)
    placement.needed.update({"vae": 3})
    while pairs := given(placement):
        [node_id] = pairs.values()
        order.append(node_id)
        models = TRANSFORMER if node_id.startswith("sample") else VAE
        placement.needed.subtract(models)
        placement.ended("a", node_id, models, 5.0)
        if node_id.startswith("sample"):
            placement.add(place(f"decode{node_id[-1]}", 3, "decode"), VAE)
    assert order == ["sample0", "sample1", "sample2", "decode0", "decode1", "decode2"]


def test_a_worker_keeps_what_later_steps_need_while_another_makes_them() -> None:
    placement = Placement()
    placement.join("encoder", 24 * GB, T5)
    placement.join("sampler", 24 * GB, TRANSFORMER)
    added(placement, "encode", 40, 1, T5)
    placement.needed.update({"transformer": 40})
    assert given(placement) == {"encoder": "encode0"}
    placement.leave("encoder")  # then nobody else can
    assert given(placement) == {"sampler": "encode1"}


def test_a_worker_that_leaves_gives_its_steps_back() -> None:
    placement = Placement()
    placement.join("a", 64 * GB, {})
    added(placement, "sample", 2, 3, TRANSFORMER)
    assert given(placement) == {"a": "sample0"}
    assert placement.leave("a") == ["sample0"]
    assert placement.leave("a") == []
    assert given(placement) == {}


@pytest.mark.parametrize(("seconds", "at_once"), [(SHORT / 2, 2), (SHORT * 2, 1)])
def test_of_short_steps_a_worker_is_given_a_second_one(seconds: float, at_once: int) -> None:
    placement = Placement()
    placement.join("a", 64 * GB, {})
    added(placement, "sample", 4, 3, VAE)
    assert len([*placement.assignments()]) == 1
    placement.ended("a", "sample0", VAE, seconds)
    assert len([*placement.assignments()]) == at_once


def test_every_step_runs_whatever_the_sizes_and_budgets() -> None:
    """Models larger than any worker's memory are computed with all the same, as on one machine."""
    placement = Placement()
    for name, limit in (("small", GB), ("large", 30 * GB)):
        placement.join(name, limit, {})
    added(placement, "encode", 3, 1, T5)
    added(placement, "sample", 3, 2, TRANSFORMER)
    added(placement, "decode", 3, 3, VAE)
    ran = []
    while pairs := [*placement.assignments()]:
        for worker, node_id in pairs:
            models = {"e": T5, "s": TRANSFORMER, "d": VAE}[node_id[0]]
            ran.append(node_id)
            placement.needed.subtract(models)
            placement.ended(worker, node_id, dict(placement.seats[worker].resident), 1.0)
    assert len(ran) == len(set(ran)) == 9
