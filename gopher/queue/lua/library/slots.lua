-- Free the slot that a job held of a type, or a tenant, with a limited concurrency: a waiting job may take it. The record names
-- its bucket in the field `holds`, or in another one.
local function free_slot(id, bucket, field)
  if bucket then
    redis.call('SREM', P .. KEY.holding .. bucket, id)
    redis.call('HDEL', P .. KEY.job .. id, field or 'holds')
    redis.call('ZADD', P .. KEY.throttled, 'XX', now, bucket)
    wake_scheduler_if_first(KEY.throttled, now)
  end
end
