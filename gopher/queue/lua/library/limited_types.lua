-- Have every bucket of a type checked at once: its limit has changed, or it was resumed.
local function check_type_now(job_type)
  for _, bucket in ipairs(redis.call('ZRANGE', P .. KEY.throttled, 0, -1)) do
    if string.match(bucket, '^[^/]*') == job_type then
      redis.call('ZADD', P .. KEY.throttled, now, bucket)
    end
  end
  wake_scheduler_if_first(KEY.throttled, now)
end

-- The limit of a type is one for each key from now on: have its throttled jobs wait with their keys. They go through a bucket
-- of their own, <type>/, which lets all go, as the buckets of keys do when the limit becomes one for all.
local function mix_throttled(job_type)
  local mixed = job_type .. '/'
  for _, priority in ipairs(PRIORITIES) do
    local list = P .. KEY.parked .. job_type .. ':' .. priority
    if redis.call('EXISTS', list) == 1 and redis.call('RENAMENX', list, P .. KEY.parked .. mixed .. ':' .. priority) == 1 then
      redis.call('ZADD', P .. KEY.throttled, now, mixed)
    end
  end
end

-- Keep `limited` up to date: the types whose limits a fetch must check.
local function update_limited(job_type)
  if redis.call('EXISTS', P .. KEY.limit .. job_type, P .. KEY.held .. job_type) > 0 then
    redis.call('SADD', P .. KEY.limited, job_type)
  else
    redis.call('SREM', P .. KEY.limited, job_type)
  end
end
