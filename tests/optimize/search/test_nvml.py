"""NVML through a fake library with the functions of NVIDIA's reference and the error codes of nvml.h."""

from types import SimpleNamespace

import pytest

from edgeau.optimize.search.nvml import find_gpu_counters

SUCCESS, NOT_SUPPORTED, DRIVER_NOT_LOADED = 0, 3, 9


def library(energies_mj, *, starts=SUCCESS):
    """A driver with one GPU per energy; None is a GPU without the counter, as before Volta and on a Jetson."""

    def count(result):
        result._obj.value = len(energies_mj)
        return SUCCESS

    def handle(number, result):
        result._obj.value = number.value + 1
        return SUCCESS

    def energy(device, result):
        value = energies_mj[device.value - 1]
        if value is None:
            return NOT_SUPPORTED
        result._obj.value = value
        return SUCCESS

    def name(device, buffer, size):
        buffer.value = b"NVIDIA Test"
        return SUCCESS

    return SimpleNamespace(
        nvmlInit_v2=lambda: starts,
        nvmlDeviceGetCount_v2=count,
        nvmlDeviceGetHandleByIndex_v2=handle,
        nvmlDeviceGetTotalEnergyConsumption=energy,
        nvmlDeviceGetName=name,
    )


def test_gpus_with_a_counter_are_read_in_microjoules():
    energies = [None, 70_000]
    counters = find_gpu_counters(lambda _: library(energies))
    assert counters.names == ("GPU 1 NVIDIA Test",)
    assert counters.read() == (70e6,)
    energies[1] = 71_000
    assert counters.read() == (71e6,)


@pytest.mark.parametrize("broken", [library([None]), library([]), library([1], starts=DRIVER_NOT_LOADED)])
def test_without_a_counter_the_result_is_none(broken):
    assert find_gpu_counters(lambda _: broken) is None


def test_without_a_driver_the_result_is_none():
    def load(name):
        raise OSError(f"{name}: cannot open shared object file")

    assert find_gpu_counters(load) is None
