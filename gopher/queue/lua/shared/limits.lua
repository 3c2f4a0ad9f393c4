-- A limited type: `rate` starts a second out of a bucket of `burst`, `concurrency` at once, `paused`, or
-- held back until a time because the other side said so. Jobs that may not start yet are parked in
-- throttled:<bucket>:<priority>, where nothing looks at them until `throttled` says that it is time.
-- A bucket is a job type, or <type>/<key> for jobs with a limit key: one bucket a tenant, say.

local LOOK_LATER = 1000 -- ms after which a bucket is looked at in any case
local FAR = 86400000 -- ms until something that only an operator ends
local LEAST_WAIT = 5 -- ms: tokens that come faster are given out several at a time

local limited_types = nil

local function is_limited(job_type)
  if not limited_types then
    limited_types = {}
    for _, each in ipairs(redis.call('SMEMBERS', P .. 'limited')) do
      limited_types[each] = true
    end
  end
  return limited_types[job_type]
end

local limits = {}

local function limit_of(job_type)
  local limit = limits[job_type]
  if not limit then
    local fields = redis.call('HMGET', P .. 'limit:' .. job_type, 'rate', 'burst', 'concurrency', 'paused', 'held_until')
    limit = {
      rate = tonumber(fields[1]), burst = tonumber(fields[2]), concurrency = tonumber(fields[3]),
      paused = fields[4], held_until = tonumber(fields[5]) or 0,
    }
    limits[job_type] = limit
  end
  return limit
end

local function type_of(bucket)
  return string.match(bucket, '^[^/]*')
end

local function tokens_in(bucket, limit)
  local fields = redis.call('HMGET', P .. 'bucket:' .. bucket, 'tokens', 'stamp')
  local since = math.max(now - (tonumber(fields[2]) or now), 0)
  return math.min((tonumber(fields[1]) or limit.burst) + since * limit.rate / 1000, limit.burst)
end

local function take_token(bucket, limit, tokens)
  local key = P .. 'bucket:' .. bucket
  redis.call('HSET', key, 'tokens', tostring(tokens - 1), 'stamp', now)
  -- A bucket that is full again need not be kept.
  redis.call('PEXPIRE', key, math.ceil(limit.burst / limit.rate * 1000) + 60000)
end

local function next_token(limit, tokens)
  return now + math.max(math.ceil((1 - tokens) * 1000 / limit.rate), LEAST_WAIT)
end

local function parked_before(bucket, priority)
  for _, name in ipairs(PRIORITIES) do
    if redis.call('EXISTS', P .. 'throttled:' .. bucket .. ':' .. name) == 1 then
      return true
    end
    if name == priority then
      return false
    end
  end
end

local earliest_look = nil -- for the caller, to ring the alarm with

-- Look at a bucket again at `at`; with 'NX' only if that is not decided yet.
local function look_again(bucket, at, nx)
  if nx then
    redis.call('ZADD', P .. 'throttled', 'NX', at, bucket)
  else
    redis.call('ZADD', P .. 'throttled', at, bucket)
  end
  earliest_look = math.min(earliest_look or at, at)
end

-- Let a job of a limited type start, or return when to look at its bucket again (0: as was decided).
local function refuse(id, job_type, bucket, priority, was_parked)
  local limit = limit_of(job_type)
  if limit.paused or limit.rate == 0 then
    return now + FAR
  end
  if limit.held_until > now then
    return limit.held_until
  end
  if not was_parked and parked_before(bucket, priority) then
    return 0
  end
  if limit.concurrency and redis.call('SCARD', P .. 'holding:' .. bucket) >= limit.concurrency then
    return now + LOOK_LATER
  end
  if limit.rate then
    local tokens = tokens_in(bucket, limit)
    if tokens < 1 then
      return next_token(limit, tokens)
    end
    take_token(bucket, limit, tokens)
    if redis.call('ZSCORE', P .. 'throttled', bucket) then
      look_again(bucket, next_token(limit, tokens - 1))
    end
  end
  if limit.concurrency then
    redis.call('SADD', P .. 'holding:' .. bucket, id)
    set_rare(id, 'holds', bucket)
  end
end

local to_the_head = {}

-- Park a job: behind those of its kind, or, when it was parked before, where it stood (`end_parking`).
local function park(id, bucket, priority, was_parked, look_at)
  local list = P .. 'throttled:' .. bucket .. ':' .. priority
  if was_parked then
    to_the_head[#to_the_head + 1] = { list, id }
  else
    redis.call('LPUSH', list, id)
  end
  set_rare(id, 'parked', bucket)
  if look_at > 0 then
    look_again(bucket, look_at)
  else
    look_again(bucket, now + LOOK_LATER, true)
  end
end

-- Put what was parked before to the head of its list again, the one that came first last.
local function end_parking()
  for i = #to_the_head, 1, -1 do
    redis.call('RPUSH', to_the_head[i][1], to_the_head[i][2])
  end
end

local function room_in(bucket)
  local job_type = type_of(bucket)
  if not is_limited(job_type) then
    return 100
  end
  local limit = limit_of(job_type)
  if limit.paused or limit.rate == 0 then
    return 0, now + FAR
  end
  if limit.held_until > now then
    return 0, limit.held_until
  end
  local room, look_at = 100, now + LOOK_LATER
  if limit.rate then
    local tokens = tokens_in(bucket, limit)
    room = math.min(room, math.floor(tokens))
    if room < 1 then
      look_at = next_token(limit, tokens)
    end
  end
  if limit.concurrency then
    room = math.min(room, limit.concurrency - redis.call('SCARD', P .. 'holding:' .. bucket))
  end
  return math.max(room, 0), look_at
end

-- Move up to `room` parked jobs of one priority to the head of pending, in their order.
local function unpark(bucket, priority, room)
  local list = P .. 'throttled:' .. bucket .. ':' .. priority
  local ids = redis.call('LRANGE', list, -room, -1)
  local moved = 0
  for _, id in ipairs(ids) do
    if read(id, 'state')[1] == 'pending' then
      redis.call('RPUSH', P .. 'pending:' .. priority, id)
      set_rare(id, 'parked', '')
      moved = moved + 1
    end
  end
  redis.call('LTRIM', list, 0, -#ids - 1)
  return moved, #ids
end

-- Move parked jobs back to pending where it is time to look. Returns how many.
local function unpark_due()
  local total = 0
  for _, bucket in ipairs(redis.call('ZRANGEBYSCORE', P .. 'throttled', '-inf', now, 'LIMIT', 0, 20)) do
    local room, look_at = room_in(bucket)
    local left = false
    for _, priority in ipairs(PRIORITIES) do
      if room > 0 then
        local moved, seen = unpark(bucket, priority, room)
        room = room - seen
        total = total + moved
      end
      left = left or redis.call('EXISTS', P .. 'throttled:' .. bucket .. ':' .. priority) == 1
    end
    if left then
      redis.call('ZADD', P .. 'throttled', look_at or now, bucket)
    else
      redis.call('ZREM', P .. 'throttled', bucket)
    end
  end
  return total
end
