-- End a job: its record stays for its retention (ms), 0 forgets it at once. `job` has its fields
-- retention, unique and children; `...` are fields to set. Returns whether it is to stand in `finished`.
local function finish_record(id, state, job, default_retention, ...)
  local record = P .. 'job:' .. id
  local retention = tonumber(job.retention or default_retention)
  if retention <= 0 then
    redis.call('DEL', record)
  else
    redis.call('HSET', record, 'state', state, 'finished', now, ...)
    redis.call('PEXPIRE', record, retention)
  end
  if job.unique or job.children then
    ended(id, state == 'completed', job)
  end
  return retention > 0
end

local function finish(id, ...)
  if finish_record(id, ...) then
    redis.call('ZADD', P .. 'finished', now, id)
  end
end
