-- Milliseconds since 1970 by the server's clock, the only one that leases and due times are read from.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
