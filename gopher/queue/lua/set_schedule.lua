-- Create or replace a schedule. The same definition again changes nothing, and keeps its next time.
--
-- KEYS  1 prefix
-- ARGV  1 name  2 definition (JSON)  3 next time (ms), '' while it is paused
-- Returns  CREATED, REPLACED or UNCHANGED

local known = redis.call('HGET', P .. KEY.schedules, ARGV[1])
if known == ARGV[2] then
  return 'UNCHANGED'
end
redis.call('HSET', P .. KEY.schedules, ARGV[1], ARGV[2])
if ARGV[3] == '' then
  redis.call('ZREM', P .. KEY.ticks, ARGV[1])
else
  redis.call('ZADD', P .. KEY.ticks, ARGV[3], ARGV[1])
  wake_scheduler_if_first(KEY.ticks, tonumber(ARGV[3]))
end
return known and 'REPLACED' or 'CREATED'
