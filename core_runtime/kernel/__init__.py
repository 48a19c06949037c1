"""The facade over approval, sandbox, capability, registry and flows, and the glue that lets them work together."""

from core_runtime.kernel.facade import Kernel, KernelParts

__all__ = ["Kernel", "KernelParts"]
