-- Limit keys that a handler's RateLimited throttles: their jobs wait in the bucket <type>/<key> until a time, whatever the limit of
-- their type, and others pass them. That ends by itself: keys whose time is over are removed with the next one, or with `held`.
-- What it throttles of a tenant is the key ',<tenant>', which no limit key is: ',' for the jobs without a tenant.

local function bucket_of_tenant(job_type, tenant)
  return job_type .. '/,' .. (tenant or '')
end

local function throttle_key(bucket, until_ms)
  local job_type, key = string.match(bucket, '^([^/]*)/(.*)$')
  local held = P .. KEY.held .. job_type
  redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
  redis.call('ZADD', held, 'GT', until_ms, key)
  redis.call('PEXPIRE', held, redis.call('ZRANGE', held, -1, -1, 'WITHSCORES')[2] - now)
  redis.call('SADD', P .. KEY.limited, job_type)
end

-- Return until when a bucket's key is throttled, nil if it is not.
local function throttled_until(bucket)
  local job_type, key = string.match(bucket or '', '^([^/]*)/(.*)$')
  local until_ms = job_type and limit_of(job_type).holds_keys
    and tonumber(redis.call('ZSCORE', P .. KEY.held .. job_type, key))
  return until_ms and until_ms > now and until_ms or nil
end

-- Let a job of a limited type start; or return the bucket in which it has to wait, and when to check that (see `refuse`).
local function where_to_wait(id, job_type, priority, was_throttled)
  if limit_of(job_type).holds_keys then
    local fields = read_record(id, 'bucket', 'tenant')
    for _, own in ipairs({ fields[1] or job_type, bucket_of_tenant(job_type, fields[2]) }) do
      local held_until = throttled_until(own)
      if held_until then
        return own, held_until
      end
    end
  end
  local bucket = bucket_of_job(id, job_type)
  return bucket, refuse(id, job_type, bucket, priority, was_throttled)
end
