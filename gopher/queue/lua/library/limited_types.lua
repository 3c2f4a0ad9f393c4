-- Have every bucket of a type checked at once: its limit has changed, or it was resumed.
local function check_type_now(job_type)
  for _, bucket in ipairs(redis.call('ZRANGE', P .. KEY.throttled, 0, -1)) do
    if string.match(bucket, '^[^/]*') == job_type then
      redis.call('ZADD', P .. KEY.throttled, now, bucket)
    end
  end
  wake_scheduler_if_first(KEY.throttled, now)
end

-- Keep `limited` up to date: the types whose limits a fetch must check.
local function update_limited(job_type)
  if redis.call('EXISTS', P .. KEY.limit .. job_type) == 1 then
    redis.call('SADD', P .. KEY.limited, job_type)
  else
    redis.call('SREM', P .. KEY.limited, job_type)
  end
end
