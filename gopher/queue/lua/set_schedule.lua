-- Create or replace a schedule, if it is still as the caller read it. The same definition again changes nothing, and
-- keeps its next time.
--
-- KEYS  1 prefix
-- ARGV  1 name  2 definition (JSON)  3 next time (ms), '' while it is paused  4 expected version: that of the reply to a
--       read, '' for none, '*' for any, 'moved' for one that comes from another queue in the version of the next
--       argument  5 least version (ms), above those that other queues have had
-- Returns  CREATED, REPLACED or UNCHANGED; CHANGED when its version is not the expected one, or this queue has had the
--       schedule that moves in this version or a later one

local name, definition, expected, least = ARGV[1], ARGV[2], ARGV[4], tonumber(ARGV[5])
local known, before = redis.call('HGET', P .. KEY.schedules, name), schedule_version(name)
local version = expected == 'moved' and least or math.max(now, before + 1, least)
if version <= before then
  return 'CHANGED'
end
if known == definition and expected ~= 'moved' then
  return 'UNCHANGED'
end
if expected ~= 'moved' and expected ~= '*' and expected ~= schedule_tag(name, known) then
  return 'CHANGED'
end
redis.call('HSET', P .. KEY.schedules, name, definition)
redis.call('HSET', P .. KEY.versions, name, string.format('%.0f', version))
if ARGV[3] == '' then
  redis.call('ZREM', P .. KEY.ticks, name)
else
  redis.call('ZADD', P .. KEY.ticks, ARGV[3], name)
  wake_scheduler_if_first(KEY.ticks, tonumber(ARGV[3]))
end
return known and 'REPLACED' or 'CREATED'
