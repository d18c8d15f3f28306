"""Coverage-guided fuzzing of reading and decoding, by atheris (libFuzzer), with the checksums switched off.

    pip install atheris
    python -m tests.fuzz.fuzz_decode -max_total_time=3600 -max_len=4096 -malloc_limit_mb=1024 -rss_limit_mb=0 WORK \\
        tests/fuzz/corpus

WORK is a folder for what it finds on its way; a case that fails is written to the current folder as crash-* or oom-*.
The fuzzer itself grows with every case (replaying them does not), so that only single allocations are limited.
The slowest case so far is printed whenever there is a new one, in seconds of the processor.
`NO_CHECKSUMS=1 python -m tests.fuzz.target CASE` replays one.
"""

from __future__ import annotations

import sys
import time

import atheris

with atheris.instrument_imports(include=["compass"]):
    from tests.fuzz.target import open_and_decode, setting


slowest = 0.0


def one_case(data: bytes) -> None:
    global slowest
    started = time.process_time()
    open_and_decode(data)
    taken = time.process_time() - started
    if taken > slowest:
        slowest = taken
        print(f"slowest case: {taken:.3f} s, {len(data)} bytes", flush=True)


def main() -> None:
    atheris.Setup(sys.argv, one_case)
    with setting(check_sums=False):
        atheris.Fuzz()


if __name__ == "__main__":
    main()
