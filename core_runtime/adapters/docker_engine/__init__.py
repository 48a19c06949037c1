"""The container engine over Docker's API. The package is one adapter, and the only one that knows the SDK."""

from core_runtime.adapters.docker_engine.engine import DockerEngine, check_address

__all__ = ["DockerEngine", "check_address"]
