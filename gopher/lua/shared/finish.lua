-- End a job: its record stays for its retention (ms), 0 forgets it at once. `job` has its fields
-- retention, unique and children; `...` are fields to set.
local function finish(id, state, job, default_retention, ...)
  local record = P .. 'job:' .. id
  local retention = tonumber(job.retention or default_retention)
  if retention <= 0 then
    redis.call('DEL', record)
  else
    redis.call('HSET', record, 'state', state, 'finished', now, ...)
    redis.call('PEXPIRE', record, retention)
    redis.call('ZADD', P .. 'finished', now, id)
  end
  if job.unique or job.children then
    ended(id, state == 'completed', job)
  end
end
