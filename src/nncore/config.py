"""Capabilities of this installation."""

from __future__ import annotations

from nncore import _kernels
from nncore._kernels import program, threads
from nncore._utils.tables import Text
from nncore._version import __version__

__all__ = ["show_config"]


OTHER = (
    "\nwarning: the distribution nncore {} is installed over nncore-learn: uninstall both, then install nncore-learn again; "
    "see Installing in the guide"
)


def overlap() -> str:
    """A warning if the other project whose package is called nncore is installed too: both write into one folder."""
    from importlib import metadata  # here: its import takes longer than the rest of this module

    try:
        return OTHER.format(metadata.version("nncore"))
    except metadata.PackageNotFoundError:
        return ""


def show_config() -> Text:
    """Instruction sets, threads and where their number comes from, and which products are in use.

    Warns if another project's distribution ``nncore`` is installed over ``nncore-learn``.

    Examples
    --------
    >>> import nncore as nn
    >>> "instruction set" in nn.show_config()
    True
    """
    bfloat16 = "products in hardware" if _kernels.has_bfloat16() else "emulated: slower than float32, the same bits"
    openmp = "yes" if program.has_openmp() else "no: every call runs on one thread"
    return Text(
        f"nncore {__version__}\n"
        f"instruction set  {_kernels.isa_name} (built and supported: {', '.join(_kernels.available_isas())})\n"
        f"matrix products  {'own kernels' if _kernels.gemm_name == 'own' else 'BLAS of SciPy in dense layers'}\n"
        f"bfloat16         {bfloat16}\n"
        f"OpenMP           {openmp}\n"
        f"threads          {_kernels.get_num_threads()} ({threads.source_of_threads()}){overlap()}"
    )
