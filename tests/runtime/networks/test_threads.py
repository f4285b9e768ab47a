"""Work in parts: the same bits on any number of threads, and BLAS left as it was."""

import os
import threading
import time

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from run_graph.runtime.networks import attention, cpu, cpu_convolution, threads
from run_graph.runtime.networks.convolution import GroupNorm, Skip, convolve
from run_graph.runtime.networks.threads import in_parts, single_threaded_blas

LARGE = threads.WORTH_SHARING


@pytest.fixture(params=[1, 2, 3])
def blas_threads(request):
    """BLAS with this many threads, as a user may have set it."""
    controller = ThreadpoolController()
    if not controller.select(user_api="blas").lib_controllers:
        pytest.skip("numpy's BLAS cannot be controlled here")
    with controller.limit(limits=request.param, user_api="blas"):
        yield request.param


def blas_now() -> set[int]:
    return {library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()}


def test_the_tests_themselves_run_with_the_threads_that_conftest_asks_for():
    assert blas_now() <= {int(os.environ["OPENBLAS_NUM_THREADS"])}


def test_every_part_is_computed_once(blas_threads):
    seen, names = [], set()

    def compute(part):
        time.sleep(0.01)
        names.add(threading.current_thread().name)
        seen.append(part)

    in_parts(compute, range(20), LARGE)
    assert sorted(seen) == list(range(20))
    assert len(names) == blas_threads


def test_little_work_stays_on_its_thread(blas_threads):
    names = set()
    in_parts(lambda part: names.add(threading.current_thread().name), range(20), LARGE - 1)
    assert names == {threading.current_thread().name}


def test_blas_has_one_thread_within_and_its_own_number_afterwards(blas_threads):
    within = []
    with single_threaded_blas as before:
        assert before == blas_threads
        in_parts(lambda part: within.append(blas_now()), range(4), LARGE)
        assert blas_now() == {1}
    assert within == [{1}] * 4
    assert blas_now() == {blas_threads}


def test_of_two_threads_the_last_one_out_sets_it_back(blas_threads):
    inside, leave = threading.Event(), threading.Event()

    def other():
        with single_threaded_blas:
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with single_threaded_blas:
        thread.start()
        inside.wait(10)
    assert blas_now() == {1}
    leave.set()
    thread.join()
    assert blas_now() == {blas_threads}


@pytest.mark.parametrize("fault", [ValueError("bad"), KeyboardInterrupt(), IndexError("bad")])
def test_a_fault_is_raised_and_ends_the_work(blas_threads, fault):
    done = []

    def compute(part):
        if part == 3:
            raise fault
        time.sleep(0.005)
        done.append(part)

    with pytest.raises(type(fault)):
        in_parts(compute, range(100), LARGE)
    assert len(done) < 3 + 2 * blas_threads
    assert blas_now() == {blas_threads}


def networks():
    """Results of a product, an attention and a convolution."""
    x = mx.random.normal((1, 40, 30, 16), key=mx.random.key(0))
    mx.random.seed(1)
    linear = cpu.NumpyLinear.of(nn.Linear(16, 50))
    yield linear(x)
    heads = attention.split_heads(x.reshape(1, -1, 16), 2)
    yield attention.attend(heads, heads, heads)
    norm = GroupNorm(mx.ones(16), mx.zeros(16), 4)
    layer = nn.Conv2d(16, 16, 3, padding=1)
    yield convolve(layer, x, norm=norm, skip=Skip(x))
    yield convolve(layer, x, resize="double")


def test_the_number_of_threads_does_not_change_a_bit(monkeypatch):
    monkeypatch.setattr(cpu, "on_cpu", lambda: True)
    monkeypatch.setattr(threads, "WORTH_SHARING", 0)
    monkeypatch.setattr(cpu, "WORTH_SHARING", 0)
    monkeypatch.setattr(cpu, "WIDE", 8)
    monkeypatch.setattr(cpu, "QUERIES", 100)
    monkeypatch.setattr(cpu_convolution, "BAND", 100)
    monkeypatch.setattr(cpu_convolution, "CHUNK", 500)
    results = []
    for count in (1, 2, 3):
        with ThreadpoolController().limit(limits=count, user_api="blas"):
            results.append([np.array(result) for result in networks()])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
