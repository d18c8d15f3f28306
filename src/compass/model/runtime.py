"""Networks on ONNX Runtime."""

from __future__ import annotations

import contextlib
import threading
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compass.arguments import whole_number
from compass.entropy.latent import Floats
from compass.errors import InputError, ModelError
from compass.model.graph import Signature, check_graph

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


_BY_DOUBLING = 0  # how the arena grows: pieces of few large blocks are used again by what has another size


_sharing = threading.Lock()


def _share_arena() -> None:
    """One arena for all networks of the process: each leaves its memory to the next."""
    with _sharing:
        _register_arena()


@cache
def _register_arena() -> None:
    import onnxruntime as ort

    where = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    with contextlib.suppress(Exception):  # the process may have registered one for itself: that will do
        ort.create_and_register_allocator(where, ort.OrtArenaCfg(0, _BY_DOUBLING, -1, -1))


class Network:
    """One graph of a model, prepared when it is first run."""

    def __init__(self, graph: bytes, name: str, threads: int) -> None:
        """name: for messages; threads: 0 for as many as there are processors.

        Raises InputError if threads are no whole number, or a negative one.
        """
        if whole_number(threads, "threads are a whole number") < 0:
            raise InputError(f"{threads} threads are impossible")
        self._graph, self.name, self._threads = graph, name, threads

    @cached_property
    def signature(self) -> Signature:
        """Names of what the graph takes and gives. Raises ModelError if it is refused."""
        return check_graph(self._graph, self.name)

    @cached_property
    def _session(self) -> InferenceSession:
        import onnxruntime as ort

        _ = self.signature  # refuses a graph before the runtime sees it
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.enable_mem_pattern = False  # it would remember every size of image
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait leave their core
        options.log_severity_level = 4  # what goes wrong is raised
        try:
            return ort.InferenceSession(self._graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime has one class for everything
            raise self._failed(error) from None

    def prepare(self) -> None:
        """Raises ModelError if the graph cannot be run."""
        _ = self._session

    def __call__(self, feeds: dict[str, NDArray[Any]], shape: tuple[int, int, int]) -> Floats:
        """The only output [C, H, W], without its batch axis, as `run` makes it.

        Raises ModelError if the output has another shape.
        """
        output, *others = self.run(feeds)
        if others or output.shape != (1, *shape):
            raise ModelError(f"the model's {self.name} yields {output.dtype} of shape {output.shape}, not {shape}")
        return output[0]

    def run(self, feeds: dict[str, NDArray[Any]]) -> list[Floats]:
        """All outputs, for those of the feeds that the graph has inputs for.

        Raises ModelError if an output is not of finite float32, MemoryError if there is too little memory.
        """
        session = self._session
        try:
            outputs = session.run(None, {name: feeds[name] for name in self.signature.inputs if name in feeds})
        except Exception as error:
            if "alloc" in str(error):
                raise MemoryError(str(error)) from None
            raise self._failed(error) from None
        for output in outputs:
            if output.dtype != np.float32:
                raise ModelError(f"the model's {self.name} yields {output.dtype} of shape {output.shape}")
            if not np.isfinite(output).all():
                raise ModelError(f"the model's {self.name} yields numbers that are not finite")
        return outputs

    def _failed(self, error: Exception) -> ModelError:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return ModelError(f"the model's {self.name} cannot be run: {reason[0]}")
