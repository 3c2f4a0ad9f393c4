-- Free the place that a job held of a type with a limited concurrency: one that waits may have it.
local function release(id, bucket)
  if bucket then
    redis.call('SREM', P .. 'holding:' .. bucket, id)
    redis.call('HDEL', P .. 'job:' .. id, 'holds')
    redis.call('ZADD', P .. 'throttled', 'XX', now, bucket)
    alarm('throttled', now)
  end
end
