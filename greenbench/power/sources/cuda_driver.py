"""Questions that only the CUDA driver can answer, asked in a process of its own, without torch.

The driver is initialised there and not here: what it does to a process (threads, memory, a card's clocks) ends with
that process.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence

_ANSWER_S = 8.0
_READY_S = 20.0

_LIST = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
count = ctypes.c_int()
if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
    sys.exit("the CUDA driver lists no device")
uuid_of = getattr(cuda, "cuDeviceGetUuid_v2", None) or cuda.cuDeviceGetUuid
for index in range(count.value):
    device, raw = ctypes.c_int(), (ctypes.c_ubyte * 16)()
    if cuda.cuDeviceGet(ctypes.byref(device), index) or uuid_of(raw, device):
        sys.exit(f"no UUID of CUDA device {index}")
    print(bytes(raw).hex())
"""
# The driver's C interface is enough for an empty context.
_HOLD_CONTEXTS = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
count = ctypes.c_int()
if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
    sys.exit("the CUDA driver lists no device")
for index in range(count.value):
    device, context = ctypes.c_int(), ctypes.c_void_p()
    if cuda.cuDeviceGet(ctypes.byref(device), index) or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        sys.exit(f"no context on CUDA device {index}")
print("ready", flush=True)
sys.stdin.read()
"""


def device_uuids() -> list[str] | None:
    """The UUIDs (32 hexadecimal digits) of the devices CUDA shows in this environment, in CUDA's order.

    None where the driver cannot be asked. No context is made, so nothing is drawn from the cards.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LIST],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.split() if done.returncode == 0 else None


@contextlib.contextmanager
def cuda_contexts(uuids: Sequence[str] | None = None) -> Iterator[str | None]:
    """Hold an empty context on the named cards, by default on every one this environment shows.

    Yields None, or why there is no context.
    """
    environment = dict(os.environ)
    if uuids is not None:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(uuids)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD_CONTEXTS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], _READY_S)
            if readable and process.stdout.readline().strip() == "ready":
                yield None
            else:
                process.kill()
                text = process.stderr.read().strip() if process.stderr else ""
                yield text.splitlines()[-1] if text else "the CUDA driver did not answer"
        finally:
            process.kill()
