-- Note that an API key is used, unless that was noted a short time ago or there is no such key any more.
--
-- KEYS  1 the hash of API keys
-- ARGV  1 SHA-256 of its secret  2 ms for which a use is not noted again
-- Returns  whether it was noted
local last = tonumber(redis.call('HGET', KEYS[1], 'used:' .. ARGV[1])) or 0
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 or now - last < tonumber(ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[1], 'used:' .. ARGV[1], string.format('%.0f', now))
return 1
