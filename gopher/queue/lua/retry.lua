-- Record a failed attempt, and let the job wait for its next one.
--
-- processing -> retrying (cancelled, when it was cancelled meanwhile)
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 id  3 token  4 delay ms  5 how the child died, e.g. SIGSEGV, else ''  6 duration ms
--       7 error (JSON)  8 history row (JSON)  9 log or ''  10 default retention ms
--       11 what it has used (see observe_usage), else ''
-- Returns  OK, ALREADY, STALE or MISSING (see settle)

local worker, id, token = ARGV[1], ARGV[2], ARGV[3]
local record = P .. KEY.job .. id
local answer, job = settle_failure(worker, id, token, ARGV[9])
if answer ~= 'OK' then
  return answer
end

local history = with_row(redis.call('HGET', record, 'history'), ARGV[8])
observe('run', job.type, tonumber(ARGV[6]), 1)
observe_usage(job.type, ARGV[11])
if job.cancel then
  count(COUNTER.cancelled .. job.type, 1)
  finish(id, STATE.cancelled, job, ARGV[10], 'error', ARGV[7], 'history', history)
else
  local due = now + tonumber(ARGV[4])
  redis.call('HSET', record, 'state', STATE.retrying, 'settled', token, 'error', ARGV[7], 'history', history,
    'due', due)
  -- It started in time, so a retry may start after its expiry.
  redis.call('HDEL', record, 'progress', 'expires')
  if ARGV[5] ~= '' then
    redis.call('HSET', record, 'crashes', with_row(redis.call('HGET', record, 'crashes'), ARGV[5]))
  end
  redis.call('ZADD', P .. KEY.retrying, due, id)
  count_owner(job.owner, 1)
  count(COUNTER.retried .. job.type, 1)
  wake_scheduler_if_first(KEY.retrying, due)
end
if children_released > 0 then
  ensure_next()
end
write_counts()
write_observations()
return answer
