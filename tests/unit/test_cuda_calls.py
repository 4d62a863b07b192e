"""What is asked of CUDA, seen through stand-ins for the calls that only a GPU has; tests/gpu asks a real one."""

import gc
import os
from contextlib import nullcontext

import pytest
import torch
from stand_ins import GRAPH_BYTES, FakeCuda

from objectives import _graph
from objectives._device import prepare, seed_device
from objectives._graph import CudaGraph, graph_for
from objectives._link import CudaLink

CPU = torch.device("cpu")


@pytest.fixture
def cuda(monkeypatch):
    _graph._stream.cache_clear()
    yield FakeCuda(monkeypatch)
    _graph._stream.cache_clear()


@pytest.fixture
def two_gpus(monkeypatch):
    """Two GPUs, of which the second was made current before; PyTorch's switches are as before afterwards."""
    chosen = [1]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: chosen[-1])
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: chosen.append(device.index))
    monkeypatch.setattr(torch.cuda, "default_generators", (torch.Generator(), torch.Generator()))
    monkeypatch.setitem(os.environ, "CUBLAS_WORKSPACE_CONFIG", "")
    fills, tf32 = torch.utils.deterministic.fill_uninitialized_memory, torch.backends.cudnn.allow_tf32
    benchmark, precision = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    yield chosen
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = fills
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = tf32, benchmark
    torch.set_float32_matmul_precision(precision)


def test_a_graph_is_warmed_up_and_captured_on_one_stream_of_its_own_and_replayed(cuda):
    usual, seen = cuda.current, []
    graph = CudaGraph(CPU)
    graph.warm_up(lambda: seen.append(cuda.current))
    graph.capture(lambda: seen.append(cuda.current))
    graph.replay()
    ((captured, stream, mode),) = cuda.captured

    assert seen == [stream, stream]
    assert stream is not usual is cuda.current
    assert stream in usual.waited
    assert usual in stream.waited
    assert mode == "thread_local"
    assert captured.replays == 1


def test_a_capture_that_fails_leaves_the_usual_stream_the_current_one(cuda):
    usual, cuda.refuses = cuda.current, True

    with pytest.raises(RuntimeError, match="during capture"):
        CudaGraph(CPU).capture(lambda: None)
    assert cuda.current is usual


@pytest.mark.parametrize(("refuses", "state"), [(True, "a copy"), (False, None)])
def test_a_capture_that_fails_leaves_a_generator_that_no_capture_holds(cuda, refuses, state):
    cuda.refuses = refuses

    with pytest.raises(RuntimeError, match="during capture") if refuses else nullcontext():
        CudaGraph(CPU).capture(lambda: None)
    assert cuda.generator.renewed == state


def test_nothing_is_collected_during_a_capture_also_not_where_it_fails(cuda):
    seen, cuda.refuses = [gc.isenabled()], True

    with pytest.raises(RuntimeError, match="during capture"):
        CudaGraph(CPU).capture(lambda: seen.append(gc.isenabled()))
    assert [*seen, gc.isenabled()] == [True, False, True]


def test_all_graphs_of_a_device_are_captured_on_one_stream(cuda):
    for _ in range(2):
        CudaGraph(CPU).capture(lambda: None)
    (_, first, _), (_, second, _) = cuda.captured

    assert first is second


@pytest.mark.parametrize(("free", "kept"), [(2.0, True), (1.9, False)])
def test_a_graph_that_leaves_less_memory_than_it_takes_is_refused(cuda, free, kept):
    cuda.free = free * GRAPH_BYTES

    with nullcontext() if kept else pytest.raises(RuntimeError, match="its 1024 MiB would leave 922 MiB for batches"):
        CudaGraph(CPU).capture(lambda: None)


def test_only_gpus_have_graphs(cuda):
    assert graph_for(CPU) is None
    assert isinstance(graph_for(torch.device("cuda:1")), CudaGraph)


def test_what_is_sent_arrives_when_it_is_taken_and_each_side_waits_for_the_other(cuda):
    link = CudaLink(CPU)
    pinned, arriving, taken = link.host_buffer((2, 3)), link.device_buffer((2, 3)), link.device_buffer((2, 3))
    pinned.fill_(7)
    link.wait_sent(0)
    link.send(0, pinned, arriving)
    link.take(arriving, taken)
    link.wait_sent(0)
    sending, sent = link._stream, link._sent[0]

    assert torch.equal(taken, torch.full((2, 3), 7.0))
    assert sending in cuda.current.waited
    assert link._taken in sending.waited
    assert link._taken.recorded is cuda.current
    assert (sent.recorded, sent.synchronized) == (sending, 1)


def test_a_thread_that_waits_for_what_is_sent_does_so_on_the_links_device(cuda):
    link, seen = CudaLink(CPU), []
    link.send(0, link.host_buffer((1,)), link.device_buffer((1,)))
    link._sent[0].waits = lambda: seen.append(cuda.device)
    link.wait_sent(0)

    assert [*seen, cuda.device] == [None, 0]


@pytest.mark.parametrize(("name", "index"), [("cuda", 1), ("cuda:0", 0)])
def test_a_gpu_is_made_current_and_named_by_its_number(two_gpus, name, index):
    device = prepare(name, "auto", deterministic=True)

    assert device == torch.device("cuda", index)
    assert two_gpus[-1] == index
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_a_gpus_generator_and_the_cpus_are_seeded_and_no_other(two_gpus):
    before = torch.cuda.default_generators[0].initial_seed()

    seed_device(torch.device("cuda:1"), 2**63 + 5)

    assert torch.cuda.default_generators[1].initial_seed() == torch.default_generator.initial_seed()
    assert torch.cuda.default_generators[0].initial_seed() == before
