"""Graphs on ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from compass.errors import InputError
from compass.model.latent import Floats

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def open_session(graph: bytes, threads: int) -> InferenceSession:
    """A graph made ready. Raises InputError on a negative number of threads; 0 are as many as there are processors."""
    import onnxruntime as ort

    if threads < 0:
        raise InputError(f"{threads} threads are impossible")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # an arena keeps what large pictures needed once
    options.enable_mem_pattern = False  # it would remember every size of picture
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run_session(session: InferenceSession, feeds: dict[str, NDArray[Any]]) -> Floats:
    """The only output of a graph, without its batch axis; it takes of the feeds what it has inputs for.

    Raises MemoryError if there is not enough memory.
    """
    wanted = {i.name for i in session.get_inputs()}
    try:
        return session.run(None, {k: v for k, v in feeds.items() if k in wanted})[0][0]
    except Exception as error:  # the runtime has one class for everything
        if "alloc" in str(error):
            raise MemoryError(str(error)) from None
        raise
