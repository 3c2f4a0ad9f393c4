-- Milliseconds since 1970 by the server's clock, the only one that leases and due times are read from.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
