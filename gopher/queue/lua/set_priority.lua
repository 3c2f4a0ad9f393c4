-- Give a waiting job another priority. It goes behind those that wait with that priority already.
--
-- KEYS  1 prefix
-- ARGV  1 id  2 priority
-- Returns  OK, also for a job that has that priority already, STARTING when a worker has just been handed it, MISSING, or the
--       state of a job that does not wait

local id, priority = ARGV[1], ARGV[2]
local record = P .. KEY.job .. id
local job, answer = waiting_job(id)
if not job then
  return answer
end
if job.priority == priority then
  return 'OK'
end
allow_when_full()
if IS_TIMED[job.state] then
  redis.call('HSET', record, 'priority', priority)
  return 'OK'
end
if not leave_place(id, job) then
  return 'STARTING'
end
redis.call('HSET', record, 'priority', priority, 'since', now)
if job.parked and job.parked ~= '' then
  redis.call('LPUSH', P .. KEY.parked .. job.parked .. ':' .. priority, id)
  redis.call('HINCRBY', P .. KEY.parked_jobs, priority, 1)
else
  push_pending('LPUSH', id, priority, job.tenant)
end
ensure_next()
return 'OK'
