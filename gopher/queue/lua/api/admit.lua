-- Admit a request of a client, or return when it may be repeated: a bucket of tokens that fills at a constant rate.
--
-- Only the time at which the bucket will be full is kept (GCRA); a full bucket has no key.
--
-- KEYS  1 the client's key
-- ARGV  1 tokens of a full bucket  2 microseconds in which one token comes
-- Returns  {admitted 1|0, tokens left, ms until a request would be admitted, ms until the bucket is full}

local tokens, interval = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local full = tokens * interval
local missing = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') - now_us, 0)
if missing + interval > full then
  return { 0, 0, math.ceil((missing + interval - full) / 1000), math.ceil(missing / 1000) }
end
missing = missing + interval
redis.call('SET', KEYS[1], string.format('%.0f', now_us + missing), 'PX', math.ceil(missing / 1000))
return { 1, math.floor((full - missing) / interval), 0, math.ceil(missing / 1000) }
