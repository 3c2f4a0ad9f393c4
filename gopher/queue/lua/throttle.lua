-- Give a job back because the service that it calls asked to slow down, and hold back its whole type for a while.
-- No attempt is counted.
--
-- processing -> throttled (cancelled, when it was cancelled meanwhile)
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 id  3 token  4 ms to hold the type back  5 default retention ms
-- Returns  OK, ALREADY, STALE or MISSING (see settle)

local worker, id, token = ARGV[1], ARGV[2], ARGV[3]
local record = P .. KEY.job .. id
local answer, job = settle(worker, id, token, '')
if answer ~= 'OK' then
  return answer
end

local limit = P .. KEY.limit .. job.type
local until_ms = math.max(now + tonumber(ARGV[4]), tonumber(redis.call('HGET', limit, 'held_until')) or 0)
redis.call('HINCRBY', record, 'attempts', -1)
redis.call('HSET', limit, 'held_until', until_ms)
redis.call('SADD', P .. KEY.limited, job.type)
if job.cancel then
  count(COUNTER.cancelled .. job.type, 1)
  finish(id, STATE.cancelled, job, ARGV[5])
else
  redis.call('HSET', record, 'state', STATE.pending, 'settled', token, 'since', now)
  local fields = read_record(id, 'bucket', 'priority')
  throttle_job(id, fields[1] or job.type, fields[2], true, until_ms)
  return_throttled_again()
  wake_scheduler_if_first(KEY.throttled, earliest_check)
end
if children_released > 0 then
  ensure_next()
end
write_counts()
return answer
