-- As text, for what is written with every job: a number is formatted again for each command that it is passed to.
local now_text = string.format('%.0f', now)

local last_retention, last_is_kept -- as it was given, and whether a record is kept for so long

local function is_kept(retention)
  if retention ~= last_retention then
    last_retention, last_is_kept = retention, tonumber(retention) > 0
  end
  return last_is_kept
end

-- End a job: its record is kept for its retention (ms); 0 deletes it at once. `job` has its fields retention, unique,
-- children and tells, or `plain`, and its result if it has one; `...` are fields to set. Returns whether the job belongs into
-- `finished`.
local function finish_record(id, state, job, default_retention, ...)
  local record = P .. KEY.job .. id
  local retention = job.retention or default_retention
  local kept = is_kept(retention)
  if not job.plain then
    note_end(id, state, not kept and (job.result or '') or nil)
  end
  if not kept then
    redis.call('DEL', record)
  else
    redis.call('HSET', record, 'state', state, 'finished', now_text, ...)
    redis.call('PEXPIRE', record, retention)
  end
  if job.unique or job.children or job.tells then
    after_end(id, state, job)
  end
  return kept
end

local function finish(id, ...)
  if finish_record(id, ...) then
    redis.call('ZADD', P .. KEY.finished, now_text, id)
  end
end
