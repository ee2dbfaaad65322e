"""The kernels of a LeNet and an MLP step in, PTX that ptxas takes out, for three architectures."""

import pytest

from codegen.cuda import emit_kernel
from codegen.cuda.inspect import ARCHITECTURES, find_ptxas, occupancy, ptx_of, resources_of
from codegen.nests import build_nests
from ir.errors import UnsupportedError
from ir.passes import run_passes


def test_occupancy():
    assert occupancy(32, 0, 256, "sm_80") == 1.0
    assert occupancy(64, 0, 256, "sm_80") == 0.5
    assert occupancy(255, 0, 256, "sm_90") == 0.125
    assert occupancy(32, 100 * 1024, 256, "sm_80") == 0.125
    assert occupancy(32, 0, 256, "sm_120") == 1.0


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_kernels_keep_to_registers(networks, architecture):
    pytest.importorskip("numba_cuda", reason="PTX needs NVVM: pip install 'tracefuse[cuda]'")
    step = networks.lenet(64)
    nests = build_nests(run_passes(step.graph), {}, ()).nests
    kernels = [emit_kernel(nest) for nest in nests]
    try:
        find_ptxas()
        ptx_of(kernels[0], architecture)
    except UnsupportedError as error:
        pytest.skip(str(error))
    for kernel in {kernel.source: kernel for kernel in kernels}.values():
        found = resources_of(ptx_of(kernel, architecture), kernel.threads, architecture)
        assert found.spills == 0, kernel.name
        assert found.stack == 0, kernel.name
        assert found.occupancy > 0
