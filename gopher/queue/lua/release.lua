-- End what RateLimited has throttled of a type, or of one of its keys, before its time.
--
-- throttled -> pending, with the next fetch
--
-- KEYS  1 prefix
-- ARGV  1 type  2 limit key, or '' for the type and all its keys
-- Returns  how many were throttled: keys, and the type itself

local job_type, key = ARGV[1], ARGV[2]
local limit, held = P .. KEY.limit .. job_type, P .. KEY.held .. job_type
local released
allow_when_full()
if key ~= '' then
  released = redis.call('ZREM', held, key)
  redis.call('ZADD', P .. KEY.throttled, 'XX', now, job_type .. '/' .. key)
  wake_scheduler_if_first(KEY.throttled, now)
else
  released = redis.call('ZCOUNT', held, '(' .. now, '+inf')
  if (tonumber(redis.call('HGET', limit, 'held_until')) or 0) > now then
    released = released + 1
  end
  redis.call('DEL', held)
  redis.call('HDEL', limit, 'held_until')
  check_type_now(job_type)
end
update_limited(job_type)
return released
