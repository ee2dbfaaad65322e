"""Matrices in, what PyTorch's ``linalg`` gives out: solutions, factors, norms, powers.

LAPACK does what no kernel would do better, through NumPy, also from within a compiled step; the
rest is composed of the engine's ops. Everything that PyTorch differentiates has gradients here.
Complex results (``eig``) are not offered.
"""

from engine.linalg.approximation import cond, lstsq, matrix_rank, pinv
from engine.linalg.factoring import (
    cholesky,
    cholesky_ex,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    lu,
    lu_factor,
    lu_factor_ex,
    lu_solve,
    qr,
    svd,
    svdvals,
)
from engine.linalg.norms import matrix_norm, norm, vector_norm
from engine.linalg.powers import cross, matrix_exp, matrix_power, multi_dot, vander, vecdot
from engine.linalg.reflections import householder_product
from engine.linalg.solving import (
    det,
    inv,
    inv_ex,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
    tensorinv,
    tensorsolve,
)
from engine.products import matmul
from engine.rearrange import diagonal
from ir.errors import LinAlgError

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]
