-- Count jobs that are stored. Those of a call are much alike: the name of a counter is put together once for those in a row.
local stored_counter, stored_type, stored_priority = nil, nil, nil

local function count_stored(job_type, priority)
  if job_type ~= stored_type or priority ~= stored_priority then
    stored_counter, stored_type, stored_priority = COUNTER.enqueued .. job_type .. ':' .. priority, job_type, priority
  end
  count(stored_counter, 1)
end

-- What is left to do when jobs from elsewhere were stored, and those that may run at once are queued up: `earliest` is when the
-- first of the others is due, if there are any.
local function write_arrived(earliest)
  if queued_jobs > 0 then
    push_queued()
    ensure_next()
  end
  if earliest then
    wake_scheduler(earliest)
  end
  write_counts()
end

-- Remember what was stored for `kept` ms: a repeat stores nothing twice.
local function remember_import(digest, kept)
  redis.call('ZREMRANGEBYSCORE', P .. KEY.imported, '-inf', now - kept)
  redis.call('ZADD', P .. KEY.imported, 'NX', now, digest)
  redis.call('PEXPIRE', P .. KEY.imported, kept)
end
