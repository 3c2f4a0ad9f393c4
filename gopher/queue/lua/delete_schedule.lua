-- Delete a schedule, if it is still as the caller read it. Jobs that it has enqueued are not affected.
--
-- KEYS  1 prefix
-- ARGV  1 name  2 expected version: that of the reply to a read, '*' for any
-- Returns  DELETED, ABSENT, or CHANGED when its version is not the expected one

local name = ARGV[1]
local known = redis.call('HGET', P .. KEY.schedules, name)
if known and ARGV[2] ~= '*' and ARGV[2] ~= schedule_tag(name, known) then
  return 'CHANGED'
end
if not known then
  redis.call('ZREM', P .. KEY.ticks, name)
  redis.call('HDEL', P .. KEY.last, name)
  return 'ABSENT'
end
remove_schedule(name)
return 'DELETED'
