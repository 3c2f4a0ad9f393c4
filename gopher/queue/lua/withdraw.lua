-- Delete the schedule, or the limit, of a handler that no running process declares any more.
--
-- KEYS  1 prefix
-- ARGV  1 ms without an announcement  2 'schedule' or 'limit'  3 name of the schedule, or type
--       4 the schedule's definition, '' to forget only that it was declared
-- Returns  WITHDRAWN, DECLARED when it was announced meanwhile, or CHANGED when it is an operator's by now, or gone

local member = ARGV[2] .. ':' .. ARGV[3]
local announced = redis.call('ZSCORE', P .. KEY.declared, member)
if not announced then
  return 'CHANGED'
elseif now - tonumber(announced) < tonumber(ARGV[1]) then
  return 'DECLARED'
end
redis.call('ZREM', P .. KEY.declared, member)

if ARGV[2] == 'schedule' then
  if redis.call('HGET', P .. KEY.schedules, ARGV[3]) ~= ARGV[4] then
    return 'CHANGED'
  end
  remove_schedule(ARGV[3])
  return 'WITHDRAWN'
end

local limit = P .. KEY.limit .. ARGV[3]
if redis.call('HGET', limit, 'origin') ~= 'handler' then
  return 'CHANGED'
end
redis.call('HDEL', limit, 'rate', 'burst', 'concurrency', 'origin')
update_limited(ARGV[3])
check_type_now(ARGV[3])
return 'WITHDRAWN'
