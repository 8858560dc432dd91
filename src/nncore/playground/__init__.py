"""The playground: the library live, in a browser page and in notebooks."""

import inspect
import sys
from types import ModuleType

from nncore.playground.show import playground

__all__ = ["playground"]


class _Callable(ModuleType):
    """Importing any module of the package makes ``nn.playground`` the package: so this is called as the function is."""

    __call__ = staticmethod(playground)
    __signature__ = inspect.signature(playground)


sys.modules[__name__].__class__ = _Callable
