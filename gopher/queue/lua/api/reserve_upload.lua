-- Count an upload of an owner among those that no job uses, unless they would be too many.
--
-- KEYS  1 the owner's sorted set of them
-- ARGV  1 id and size, as the set has them  2 size  3 ms until it expires  4 maximum number  5 maximum bytes
-- Returns  '' when it is counted, also for a repeat; count or bytes when there would be too many of them
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return ''
end
local counted = redis.call('ZRANGE', KEYS[1], 0, -1)
if #counted >= tonumber(ARGV[4]) then
  return 'count'
end
local size = tonumber(ARGV[2])
for _, each in ipairs(counted) do
  size = size + (tonumber(string.match(each, '%d+$')) or 0)
end
if size > tonumber(ARGV[5]) then
  return 'bytes'
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return ''
