-- Give a worker up to `want` jobs: first the strays of its own list (just delivered by BRPOPLPUSH, or
-- given out in a reply that was lost), then `next`, then pending by the worker's order. Jobs of a type
-- that is over its limit are parked on the way; others pass them.
--
-- next, pending -> processing (expired when it is too late; throttled when its type is limited)
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 want  3 number of the first token  4 order: the letters of the priorities from the
--       worker's place in its cycle on  5 '1' when the order is strict  6 retention ms of expired jobs
-- Returns  LOST when the worker's lease was taken away, else
--       OK, now, 1 when more is waiting else 0, then each job as
--       {id, token, type, priority, attempt, crashes, lost, envelope, parents and their results by turns,
--       token of the attempt before or '', ms that it has waited}
-- uses: base clock alarm arm dead ended finish limits observe
local worker, want, number = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local order, strict = ARGV[4], ARGV[5] == '1'
local own = P .. 'processing:' .. worker
local first, place, jobs = number, 1, {}
local parks_left = 100

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
  return strict and order or string.sub(order, place) .. string.sub(order, 1, place - 1)
end

local function results_of(parents)
  local results = {}
  for parent in string.gmatch(parents or '', '[^,]+') do
    results[#results + 1] = parent
    results[#results + 1] = read(parent, 'result')[1] or ''
  end
  return results
end

local function give(id, job, token, attempt, waited)
  take_turn(job.priority)
  jobs[#jobs + 1] = {
    id, token, job.type, job.priority, attempt, job.crashes or '', job.lost or 0, job.envelope, results_of(job.parents),
    attempt > 1 and job.token ~= token and job.token or '', waited,
  }
end

local function expire(id, job)
  redis.call('LREM', own, 1, id)
  count('expired:' .. job.type, 1)
  finish(id, 'expired', job, ARGV[6])
end

-- Park a job that may not start yet. Returns whether it was.
local function hold_back(id, job)
  local bucket, was_parked = job.bucket or job.type, job.parked and true or false
  local look_at = refuse(id, job.type, bucket, job.priority, was_parked)
  if not look_at then
    return false
  end
  park(id, bucket, job.priority, was_parked, look_at)
  redis.call('LREM', own, 1, id)
  parks_left = parks_left - 1
  return true
end

-- Begin an attempt of a job that stands in the own list. Returns false when it must not run now.
local function begin(id, job)
  if job.state ~= 'pending' then
    redis.call('LREM', own, 1, id)
    return false
  end
  if job.expires and tonumber(job.expires) <= now then
    expire(id, job)
    return false
  end
  if LIMITED[job.type] and hold_back(id, job) then
    return false
  end
  local record, token, attempt = P .. 'job:' .. id, worker .. '.' .. number, (tonumber(job.attempts) or 0) + 1
  number = number + 1
  redis.call('HSET', record, 'state', 'processing', 'token', token, 'started', now, 'attempts', attempt)
  if job.parked then
    redis.call('HDEL', record, 'parked')
  end
  count('dequeued:' .. job.type .. ':' .. job.priority, 1)
  local waited = math.max(now - (tonumber(job.since) or now), 0)
  observe('wait', job.type, waited)
  give(id, job, token, attempt, waited)
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
    local job = read_job(id)
    if job.state == 'processing' then
      local given = tonumber(string.match(job.token, '(%d+)$'))
      if given < first then
        return
      end
      number = math.max(number, given + 1)
      give(id, job, job.token, tonumber(job.attempts), math.max(now - (tonumber(job.since) or now), 0))
      at = at + 1
    elseif begin(id, job) then
      at = at + 1
    end
  end
end

local function draw_next()
  local id = redis.call('LMOVE', P .. 'next', own, 'RIGHT', 'LEFT')
  if id then
    begin(id, read_job(id))
  end
end

local drained = {} -- letters of priorities of which nothing is left

local function draw_pending()
  for letter in string.gmatch(from_here(), '.') do
    if not drained[letter] then
      local id, job = draw(PRIORITY[letter], own)
      if id then
        return id, job
      end
      drained[letter] = true
    end
  end
end

-- Jobs may still be parked when the last limit has been taken away.
if next(LIMITED) or redis.call('EXISTS', P .. 'throttled') == 1 then
  unpark_due()
end
adopt_strays()
if not queue_paused then
  if #jobs < want then
    draw_next()
  end
  while #jobs < want and parks_left > 0 do
    local id, job = draw_pending()
    if not id then
      break
    end
    begin(id, job)
  end
end

end_parking()
local more = arm(from_here())
if earliest_look then
  alarm('throttled', earliest_look)
end
write_counts()
write_observations()
return { 'OK', now, more and 1 or 0, unpack(jobs) }
