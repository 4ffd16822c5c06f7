"""How many decisions a second Python's `limits` makes with a moving window in Redis, one process, one after another.

Usage: limits_moving_window.py URL SECONDS
"""
import random
import sys
import time

from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

limiter = MovingWindowRateLimiter(RedisStorage(sys.argv[1]))
item = RateLimitItemPerMinute(100)
keys = [f"client-{index}" for index in range(100_000)]
end = time.monotonic() + float(sys.argv[2])
count = 0
start = time.monotonic()
while time.monotonic() < end:
    for _ in range(100):
        limiter.hit(item, random.choice(keys))
    count += 100
print(count / (time.monotonic() - start))
