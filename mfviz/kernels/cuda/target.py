"""The CUDA target: the one module that imports ``numba.cuda``, and what all kernels are made with.

A kernel is a plain function that a maker returns for a width of a row; numbers of the maker's
scope are constants of the compiled code, so that a row can be kept in registers. Nothing is
compiled before the first launch, or before :func:`ptx` is asked for.

Each kernel has two forms. *Shuffle* sums over the lanes of a row with warp shuffles; *shared* does
it in shared memory, with one row a block. The simulator knows the second only; on a device the two
must agree. What rows are loaded, stored and summed with is in :mod:`mfviz.kernels.cuda.vectors`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from numba import config, cuda, types

__all__ = [
    "BLOCK", "KERNELS", "SIMULATED", "WARP", "Kernel", "cuda", "dispatcher", "inlined",
    "installed", "intrinsic", "kernel", "ptx", "types",
]  # fmt: skip

SIMULATED = bool(config.ENABLE_CUDASIM)
BLOCK = 128  # threads of a block in the shuffle form
WARP = 32

installed = importlib.util.find_spec("numba_cuda") is not None


@dataclass(frozen=True)
class Kernel:
    """A kernel before compilation.

    Attributes
    ----------
    name : str
        Unique; what a span of it is called is the solver's choice.
    make : callable
        ``make(width, shuffle)`` returns the function.
    signature : callable
        ``signature()`` returns the types of the arguments.
    widths : tuple of int
        Widths that are compiled ahead in tests, the narrowest and the widest among them.
    meets : int
        Least width at which the threads of a block meet at barriers in the shuffle form too; 0:
        they never do.
    """

    name: str
    make: Callable[[int, bool], Callable[..., None]]
    signature: Callable[[], Any]
    widths: tuple[int, ...] = field(default=(8, 40, 128, 256))
    meets: int = 0


KERNELS: dict[str, Kernel] = {}


def kernel(name: str, signature: Callable[[], Any], **more: Any) -> Callable[..., Any]:
    """Register the maker of a kernel.

    Parameters
    ----------
    name : str
    signature : callable
        Returns the types of the arguments.
    more
        Other fields of :class:`Kernel`.
    """

    def mark(make: Callable[[int, bool], Callable[..., None]]) -> Kernel:
        KERNELS[name] = Kernel(name, make, signature, **more)
        return KERNELS[name]

    return mark


@cache
def dispatcher(name: str, width: int, shuffle: bool) -> Any:
    """Return what can be launched as ``dispatcher(...)[blocks, threads, stream](*args)``.

    Parameters
    ----------
    name : str
        Of a registered kernel.
    width : int
        Columns of a row on the device.
    shuffle : bool
        The form; see the module.
    """
    made = KERNELS[name].make(width, shuffle)
    if SIMULATED or not installed:
        return cuda.jit(made)
    # Else numba-cuda would optimise once more while it links, to code that nobody has looked at,
    # and compile each kernel twice for that. The option is lost without a function beside it.
    return cuda.jit(made, lto=False)


def ptx(name: str, width: int, capability: tuple[Any, ...], *, shuffle: bool = True) -> str:
    """Compile a kernel for a compute capability; no driver is needed.

    Parameters
    ----------
    name : str
    width : int
    capability : tuple
        As (9, 0), or (9, 0, "a") for what only devices of that very capability have.
    shuffle : bool

    Returns
    -------
    str
        PTX, the assembly language of a virtual GPU.
    """
    found = KERNELS[name]
    text, _ = cuda.compile_ptx(found.make(width, shuffle), found.signature(), cc=capability)
    return str(text)


if installed and not SIMULATED:
    from numba.cuda.extending import intrinsic

    def inlined(function: Callable[..., Any]) -> Any:
        """Let kernels call a function; it is compiled into them."""
        return cuda.jit(device=True, inline="always")(function)

else:
    intrinsic = None

    def inlined(function: Callable[..., Any]) -> Any:
        """Let kernels call a function; nothing is compiled here."""
        return function
