-- Look at every bucket of a type at once: its limit has changed, or it goes on after a pause.
local function wake(job_type)
  for _, bucket in ipairs(redis.call('ZRANGE', P .. 'throttled', 0, -1)) do
    if string.match(bucket, '^[^/]*') == job_type then
      redis.call('ZADD', P .. 'throttled', now, bucket)
    end
  end
  alarm('throttled', now)
end

-- Keep `limited` in step: the types that a fetch must look at closely.
local function note_limited(job_type)
  if redis.call('EXISTS', P .. 'limit:' .. job_type) == 1 then
    redis.call('SADD', P .. 'limited', job_type)
  else
    redis.call('SREM', P .. 'limited', job_type)
  end
end
