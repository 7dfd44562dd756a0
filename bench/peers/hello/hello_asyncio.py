# SPDX-License-Identifier: Apache-2.0
"""The smallest program of asyncio; with the argument uvloop, of uvloop."""
import asyncio
import sys
import time

if sys.argv[1:] == ["uvloop"]:
    import uvloop
    uvloop.install()


async def main():
    print(time.monotonic_ns(), flush=True)


asyncio.run(main())
