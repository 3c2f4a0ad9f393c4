-- A limited type: `rate` starts a second out of a bucket of `burst`, `concurrency` at once, `paused`, or throttled until a
-- time because the service that the handler calls asked for it. Jobs that may not start yet are throttled: they wait in
-- throttled:<bucket>:<priority>, which is not checked until `throttled` says that it is time.
-- A bucket is a job type. Where the type's limit is one for each limit key (`per_key`), jobs with a key have a bucket
-- <type>/<key> each: for example one a tenant. Jobs of a key that is throttled (see held_keys) wait in such a bucket too.

local RECHECK_AFTER = 1000 -- ms after which a bucket is checked in any case
local DAY = 86400000 -- ms: when to check a bucket that only an operator frees
local LEAST_WAIT = 5 -- ms: tokens that come faster are used several at a time

local limited_types = nil

local function is_limited(job_type)
  if not limited_types then
    limited_types = {}
    for _, each in ipairs(redis.call('SMEMBERS', P .. KEY.limited)) do
      limited_types[each] = true
    end
  end
  return limited_types[job_type]
end

local limits = {}

local function limit_of(job_type)
  local limit = limits[job_type]
  if not limit then
    local fields = redis.call('HMGET', P .. KEY.limit .. job_type, 'rate', 'burst', 'concurrency', 'paused', 'held_until',
      'per_key')
    limit = {
      rate = tonumber(fields[1]), burst = tonumber(fields[2]), concurrency = tonumber(fields[3]),
      paused = fields[4], held_until = tonumber(fields[5]) or 0, per_key = fields[6],
      holds_keys = redis.call('EXISTS', P .. KEY.held .. job_type) == 1,
    }
    limits[job_type] = limit
    if not (fields[1] or fields[3] or limit.paused or limit.holds_keys or limit.held_until > now) then
      -- It was only throttled, and that has ended: the type is as fast again as one without a limit.
      redis.call('DEL', P .. KEY.limit .. job_type)
      redis.call('SREM', P .. KEY.limited, job_type)
    end
  end
  return limit
end

-- Return the bucket of a job of a limited type.
local function bucket_of_job(id, job_type)
  return limit_of(job_type).per_key and read_record(id, 'bucket')[1] or job_type
end

local function tokens_in(bucket, limit)
  local fields = redis.call('HMGET', P .. KEY.bucket .. bucket, 'tokens', 'stamp')
  local since = math.max(now - (tonumber(fields[2]) or now), 0)
  return math.min((tonumber(fields[1]) or limit.burst) + since * limit.rate / 1000, limit.burst)
end

local function take_token(bucket, limit, tokens)
  local key = P .. KEY.bucket .. bucket
  redis.call('HSET', key, 'tokens', tostring(tokens - 1), 'stamp', now)
  -- A bucket that is full again need not be kept.
  redis.call('PEXPIRE', key, math.ceil(limit.burst / limit.rate * 1000) + 60000)
end

local function next_token(limit, tokens)
  return now + math.max(math.ceil((1 - tokens) * 1000 / limit.rate), LEAST_WAIT)
end

-- Return whether throttled jobs of a bucket go before a new one of this priority.
local function has_throttled_before(bucket, priority)
  for _, name in ipairs(PRIORITIES) do
    if redis.call('EXISTS', P .. KEY.parked .. bucket .. ':' .. name) == 1 then
      return true
    end
    if name == priority then
      return false
    end
  end
end

local earliest_check = nil -- for the caller, to wake a scheduler with

-- Check a bucket again at `at`; with `nx` only if no time has been set yet.
local function check_at(bucket, at, nx)
  if nx then
    redis.call('ZADD', P .. KEY.throttled, 'NX', at, bucket)
  else
    redis.call('ZADD', P .. KEY.throttled, at, bucket)
  end
  earliest_check = math.min(earliest_check or at, at)
end

-- Let a job of a limited type start, or return when to check its bucket again (0: at the time that is set already). The slot
-- that it takes is noted in the field `holds` of its record, or in another one.
local function refuse(id, job_type, bucket, priority, was_throttled, field)
  local limit = limit_of(job_type)
  if limit.paused or limit.rate == 0 then
    return now + DAY
  end
  if limit.held_until > now then
    return limit.held_until
  end
  if not was_throttled and has_throttled_before(bucket, priority) then
    return 0
  end
  if limit.concurrency and redis.call('SCARD', P .. KEY.holding .. bucket) >= limit.concurrency then
    return now + RECHECK_AFTER
  end
  if limit.rate then
    local tokens = tokens_in(bucket, limit)
    if tokens < 1 then
      return next_token(limit, tokens)
    end
    take_token(bucket, limit, tokens)
    if redis.call('ZSCORE', P .. KEY.throttled, bucket) then
      check_at(bucket, next_token(limit, tokens - 1))
    end
  end
  if limit.concurrency then
    redis.call('SADD', P .. KEY.holding .. bucket, id)
    set_extra(id, field or 'holds', bucket)
  end
end

local throttled_again = {} -- list, id and priority of jobs that were throttled before

-- Throttle a job: behind those of its bucket, or, if it was throttled before, at its old place (`return_throttled_again`).
local function throttle_job(id, bucket, priority, was_throttled, at)
  local list = P .. KEY.parked .. bucket .. ':' .. priority
  if was_throttled then
    throttled_again[#throttled_again + 1] = { list, id, priority }
  else
    redis.call('LPUSH', list, id)
    redis.call('HINCRBY', P .. KEY.parked_jobs, priority, 1)
  end
  set_extra(id, 'parked', bucket)
  if at > 0 then
    check_at(bucket, at)
  else
    check_at(bucket, now + RECHECK_AFTER, true)
  end
end

-- Put jobs that were throttled before back at the head of their lists, in their old order.
local function return_throttled_again()
  for i = #throttled_again, 1, -1 do
    local list, id, priority = unpack(throttled_again[i])
    redis.call('RPUSH', list, id)
    redis.call('HINCRBY', P .. KEY.parked_jobs, priority, 1)
  end
end

-- Return how many jobs of a bucket its limit lets start now, and when to check it again.
local function room_for(bucket, limit)
  if limit.paused or limit.rate == 0 then
    return 0, now + DAY
  end
  if limit.held_until > now then
    return 0, limit.held_until
  end
  local room, at = 100, now + RECHECK_AFTER
  if limit.rate then
    local tokens = tokens_in(bucket, limit)
    room = math.min(room, math.floor(tokens))
    if room < 1 then
      at = next_token(limit, tokens)
    end
  end
  if limit.concurrency then
    room = math.min(room, limit.concurrency - redis.call('SCARD', P .. KEY.holding .. bucket))
  end
  return math.max(room, 0), at
end

-- Return how many jobs of a bucket may start now, and when to check it again.
local function room_in(bucket)
  local job_type = string.match(bucket, '^[^/]*')
  if not is_limited(job_type) then
    return 100
  end
  local limit, held_until = limit_of(job_type), throttled_until(bucket)
  if held_until then
    return 0, held_until
  end
  local is_passed = bucket == job_type .. '/' or string.sub(bucket, #job_type + 1, #job_type + 2) == '/,'
  if is_passed or (bucket ~= job_type and not limit.per_key) then
    -- They go on to wait elsewhere: see `mix_throttled`.
    return 100
  end
  return room_for(bucket, limit)
end

-- Move up to `room` throttled jobs of one priority to the head of pending, in their order. Returns how many, and how many
-- were looked at.
local function release_from(bucket, priority, room)
  local list = P .. KEY.parked .. bucket .. ':' .. priority
  local ids = redis.call('LRANGE', list, -room, -1)
  local moved = 0
  for _, id in ipairs(ids) do
    local fields = read_record(id, 'state', 'tenant')
    if fields[1] == STATE.pending then
      push_pending('RPUSH', id, priority, fields[2])
      set_extra(id, 'parked', '')
      moved = moved + 1
    end
  end
  if #ids > 0 then
    redis.call('LTRIM', list, 0, -#ids - 1)
    redis.call('HINCRBY', P .. KEY.parked_jobs, priority, -#ids)
  end
  return moved, #ids
end

-- Move throttled jobs of the buckets that are due for a check back to pending, and let tenants go on. Returns how many.
local function release_throttled() -- rare
  local function release_bucket(bucket)
    local room, at = room_in(bucket)
    local total, left = 0, false
    for _, priority in ipairs(PRIORITIES) do
      if room > 0 then
        local moved, looked_at = release_from(bucket, priority, room)
        room = room - looked_at
        total = total + moved
      end
      left = left or redis.call('EXISTS', P .. KEY.parked .. bucket .. ':' .. priority) == 1
    end
    if left then
      redis.call('ZADD', P .. KEY.throttled, at or now, bucket)
    else
      redis.call('ZREM', P .. KEY.throttled, bucket)
      if redis.call('EXISTS', P .. KEY.throttled) == 0 then
        redis.call('DEL', P .. KEY.parked_jobs)
      end
    end
    return total
  end

  local total = 0
  for _, bucket in ipairs(redis.call('ZRANGEBYSCORE', P .. KEY.throttled, '-inf', now, 'LIMIT', 0, 20)) do
    local release = string.sub(bucket, 1, 1) == '@' and wake_tenant or release_bucket
    total = total + release(bucket)
  end
  return total
end
