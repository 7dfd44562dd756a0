# SPDX-License-Identifier: Apache-2.0
"""The smallest program of gevent."""
import time

import gevent

gevent.spawn(lambda: print(time.monotonic_ns(), flush=True)).join()
