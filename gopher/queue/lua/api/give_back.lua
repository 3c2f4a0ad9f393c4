-- Put a token back into a client's bucket (see admit), for a request that is not to count.
--
-- KEYS  1 the client's key
-- ARGV  1 microseconds in which one token comes
-- Returns  nil

local full_at = redis.call('GET', KEYS[1])
if not full_at then
  return
end
local time = redis.call('TIME')
local missing = tonumber(full_at) - tonumber(ARGV[1]) - (time[1] * 1000000 + time[2])
if missing > 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', full_at - ARGV[1]), 'PX', math.ceil(missing / 1000))
else
  redis.call('DEL', KEYS[1])
end
