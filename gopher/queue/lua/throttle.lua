-- Requeue a job because the service that it calls asked to slow down, and throttle for a while the jobs of its type with its
-- limit key, those of its tenant, or all. No attempt is counted.
--
-- processing -> throttled (cancelled, when it was cancelled meanwhile)
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 id  3 token  4 ms for which to throttle  5 default retention ms
--       6 'type' for the whole type; 'key' for the jobs with its limit key, or the type if it has none; 'tenant' for those of
--         its tenant, which may be none
-- Returns  OK, ALREADY, STALE or MISSING (see settle)

local worker, id, token = ARGV[1], ARGV[2], ARGV[3]
local record = P .. KEY.job .. id
local answer, job = settle(worker, id, token, '')
if answer ~= 'OK' then
  return answer
end

-- Throttle what the scope names. Returns the bucket in which the job waits, and until when.
local function throttle_scope()
  local fields = read_record(id, 'bucket', 'tenant')
  local until_ms, bucket = now + tonumber(ARGV[4]), fields[1]
  if ARGV[6] == 'tenant' then
    bucket = bucket_of_tenant(job.type, fields[2])
  end
  if ARGV[6] ~= 'type' and bucket then
    throttle_key(bucket, until_ms)
    return bucket, throttled_until(bucket)
  end
  local limit = P .. KEY.limit .. job.type
  until_ms = math.max(until_ms, tonumber(redis.call('HGET', limit, 'held_until')) or 0)
  redis.call('HSET', limit, 'held_until', until_ms)
  redis.call('SADD', P .. KEY.limited, job.type)
  return bucket_of_job(id, job.type), until_ms
end

redis.call('HINCRBY', record, 'attempts', -1)
local bucket, until_ms = throttle_scope()
if job.cancel then
  count(COUNTER.cancelled .. job.type, 1)
  finish(id, STATE.cancelled, job, ARGV[5])
else
  count_owner(job.owner, 1)
  redis.call('HSET', record, 'state', STATE.pending, 'settled', token, 'since', now)
  throttle_job(id, bucket, read_record(id, 'priority')[1], true, until_ms)
  return_throttled_again()
  wake_scheduler_if_first(KEY.throttled, earliest_check)
end
if children_released > 0 then
  ensure_next()
end
write_counts()
return answer
