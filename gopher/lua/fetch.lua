-- Give a worker up to `want` jobs: first the strays of its own list (just delivered by BRPOPLPUSH, or
-- given out in a reply that was lost), then `next`, then pending by the worker's order.
--
-- next, pending -> processing
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 want  3 number of the first token  4 order: the letters of the priorities from
--       the worker's place in its cycle on  5 '1' when the order is strict  6 retention ms of expired jobs
-- Returns  LOST when the worker's lease was taken away, else
--       OK, now, 1 when more is waiting else 0, then each job as
--       {id, token, type, priority, attempt, crashes, lost, envelope}
-- uses: base clock arm finish observe
local worker, want, number = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local order, strict = ARGV[4], ARGV[5] == '1'
local own = P .. 'processing:' .. worker
local first, place, jobs = number, 1, {}

open_when_full()
if not redis.call('ZSCORE', P .. 'workers', worker) then
  return { 'LOST' }
end

-- Step the cycle past the next turn of this priority, wherever the job came from.
local function take_turn(priority)
  if strict then
    return
  end
  local letter = string.sub(priority, 1, 1)
  for step = 0, #order - 1 do
    local at = (place - 1 + step) % #order + 1
    if string.sub(order, at, at) == letter then
      place = at % #order + 1
      return
    end
  end
end

local function from_here()
  return string.sub(order, place) .. string.sub(order, 1, place - 1)
end

-- Begin an attempt of a job that stands in the own list. Returns false when it must not run.
local function begin(id, fields)
  local record = P .. 'job:' .. id
  if fields[1] ~= 'pending' then
    redis.call('LREM', own, 1, id)
    return false
  end
  local job_type, priority = fields[2], fields[3]
  if fields[8] and tonumber(fields[8]) <= now then
    redis.call('LREM', own, 1, id)
    count('expired:' .. job_type, 1)
    finish(id, 'expired', fields[9] or ARGV[6])
    return false
  end
  local token, attempt = worker .. '.' .. number, (tonumber(fields[5]) or 0) + 1
  number = number + 1
  redis.call('HSET', record, 'state', 'processing', 'token', token, 'started', now, 'attempts', attempt)
  count('dequeued:' .. job_type .. ':' .. priority, 1)
  observe('wait', job_type, now - (tonumber(fields[4]) or now))
  take_turn(priority)
  jobs[#jobs + 1] = { id, token, job_type, priority, attempt, fields[6] or '', fields[7] or 0, fields[10] }
  return true
end

-- What was put into the own list since the last reply that arrived stands at its left end.
local function adopt_strays()
  local at = 0
  while #jobs < want do
    local id = redis.call('LINDEX', own, at)
    if not id then
      return
    end
    local fields = redis.call('HMGET', P .. 'job:' .. id, 'state', 'type', 'priority', 'since', 'attempts',
      'crashes', 'lost', 'expires', 'retention', 'envelope', 'token')
    if fields[1] == 'processing' then
      local given = tonumber(string.match(fields[11], '(%d+)$'))
      if given < first then
        return
      end
      number = math.max(number, given + 1)
      take_turn(fields[3])
      jobs[#jobs + 1] = { id, fields[11], fields[2], fields[3], tonumber(fields[5]), fields[6] or '',
        fields[7] or 0, fields[10] }
      at = at + 1
    elseif begin(id, fields) then
      at = at + 1
    end
  end
end

local function draw_next()
  local id = redis.call('LMOVE', P .. 'next', own, 'RIGHT', 'LEFT')
  if id then
    return id, redis.call('HMGET', P .. 'job:' .. id, 'state', 'type', 'priority', 'since', 'attempts',
      'crashes', 'lost', 'expires', 'retention', 'envelope')
  end
end

local function draw_pending()
  local tried = {}
  for letter in string.gmatch(strict and order or from_here(), '.') do
    if not tried[letter] then
      tried[letter] = true
      local id, fields = draw(PRIORITY[letter], own)
      if id then
        return id, fields
      end
    end
  end
end

adopt_strays()
if #jobs < want then
  local id, fields = draw_next()
  if id then
    begin(id, fields)
  end
end
while #jobs < want do
  local id, fields = draw_pending()
  if not id then
    break
  end
  begin(id, fields)
end

local more = arm(strict and order or from_here())
write_counts()
write_observations()
return { 'OK', now, more and 1 or 0, unpack(jobs) }
