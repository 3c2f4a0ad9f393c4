-- Free the slot that a job held of a type with a limited concurrency: a waiting job may take it.
local function free_slot(id, bucket)
  if bucket then
    redis.call('SREM', P .. KEY.holding .. bucket, id)
    redis.call('HDEL', P .. KEY.job .. id, 'holds')
    redis.call('ZADD', P .. KEY.throttled, 'XX', now, bucket)
    wake_scheduler_if_first(KEY.throttled, now)
  end
end
