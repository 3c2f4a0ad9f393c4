-- Run a job now that waits for its time, or for its type's limit: it goes to the head of its priority, or of its tenant's jobs
-- of that priority. A limit still holds: then the job is the first of its type to start.
--
-- scheduled, retrying, throttled -> pending
--
-- KEYS  1 prefix
-- ARGV  1 id
-- Returns  OK, also for a job that was pending already, PARENTS when it waits for other jobs, MISSING, or the state of a job
--       that does not wait

local id = ARGV[1]
local job, answer = waiting_job(id)
if not job then
  return answer
end
if job.waiting_for then
  return 'PARENTS'
end
local is_throttled = job.parked and job.parked ~= ''
if not (IS_TIMED[job.state] or is_throttled) then
  return 'OK'
end
allow_when_full()
leave_place(id, job)
redis.call('HSET', P .. KEY.job .. id, 'state', STATE.pending, 'since', now)
redis.call('HDEL', P .. KEY.job .. id, 'due')
if is_throttled then
  -- It goes before those of its type that are throttled still.
  set_extra(id, 'parked', '')
end
push_pending('RPUSH', id, job.priority, job.tenant)
ensure_next()
return 'OK'
