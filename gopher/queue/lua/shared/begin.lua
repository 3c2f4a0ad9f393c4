-- How `fetch` begins what nearly all of its jobs are: plain ones, for the first time. It stands before all that only the
-- others need, since to define a function costs time in each run; and where such a job is all there is, in the worker's
-- hands and in the queue, as when an idle worker has just been given it by BRPOPLPUSH, nothing of that is gone through.

local number, with_prelude = tonumber(ARGV[3]), ARGV[7] == '1'
local rows, sizes, texts = {}, {}, {} -- what is given out
local started = string.format('%.0f', now)

-- What the tokens begin with. Fetches behind a BRPOPLPUSH count for themselves, see `adopt_strays`.
local series = ARGV[1] .. (ARGV[8] == '1' and '.b' or '.')

-- What is read of every job; of a record that is none, the error.
local STATE, TYPE, PRIORITIZED, SINCE, ENVELOPE, ATTEMPTS, PLAIN = 1, 2, 3, 4, 5, 6, 7

local function look_at(record)
  return redis.pcall('HMGET', record, 'state', 'type', 'priority', 'since', 'envelope', 'attempts', 'plain')
end

local function waited_since(since)
  local waited = now - (tonumber(since) or now)
  return waited > 0 and waited or 0
end

-- Jobs of one call are much alike: those of a type and priority that came at the same time are counted together.
local alike, alike_type, alike_priority, alike_since, alike_waited = 0, nil, nil, nil, nil

local function count_alike()
  if alike > 0 then
    count('dequeued:' .. alike_type .. ':' .. alike_priority, alike)
    observe('wait', alike_type, alike_waited, alike)
  end
end

-- Return whether a type or a priority can be one: without it, and with what is no text, the worker could not read the reply.
local function is_name(text)
  return text and not string.find(text, '[\128-\255]')
end

-- Count an attempt that begins. Returns the ms that the job has waited.
local function count_begun(job_type, priority, since)
  if since ~= alike_since or job_type ~= alike_type or priority ~= alike_priority then
    count_alike()
    alike, alike_type, alike_priority, alike_since = 0, job_type, priority, since
    alike_waited = waited_since(since)
  end
  alike = alike + 1
  return alike_waited
end

local function add_text(text)
  local at = #texts + 1
  sizes[at], texts[at] = #text, text
end

-- What the worker is told. Packed it costs a third of a reply with an element for each field, here and there. Of no text
-- that came with a job is it known what is in it, so those stand apart, one behind the other.
local function given(more)
  count_alike()
  write_counts()
  write_observations()
  return { 'OK', now, more and 1 or 0, number, cmsgpack.pack(rows), cmsgpack.pack(sizes), table.concat(texts) }
end

-- Begin the first attempt of a plain job that waits. No type may be limited. Returns its priority; of any other job, to
-- which nothing was done, false and what was read of it.
local function begin_plain(id)
  local record = P .. 'job:' .. id
  local job = look_at(record)
  local job_type, priority = job[TYPE], job[PRIORITIZED]
  if job[STATE] ~= 'pending' or not job[PLAIN] or job[ATTEMPTS] then
    return false, job
  end
  if (job_type ~= alike_type or priority ~= alike_priority) and not (is_name(job_type) and is_name(priority)) then
    return false, job
  end
  local token = series .. number
  number = number + 1
  redis.call('HSET', record, 'state', 'processing', 'token', token, 'started', started, 'attempts', '1')
  local waited = count_begun(job_type, priority, job[SINCE])
  rows[#rows + 1] = with_prelude and { id, token, job_type, priority, 1, {}, 0, { '', waited }, {} }
    or { id, token, job_type, priority }
  add_text(job[ENVELOPE] or '')
  return priority
end

local function only_one(own)
  local ids = redis.call('LRANGE', own, 0, 1)
  if #ids == 1 and redis.call('EXISTS', P .. 'limited', P .. 'throttled', P .. 'next', P .. 'pending:high', P .. 'pending:normal',
    P .. 'pending:low') == 0 then
    return ids[1]
  end
end

if tonumber(ARGV[2]) > 0 then
  local id = only_one(P .. 'processing:' .. ARGV[1])
  if id and redis.call('ZSCORE', P .. 'workers', ARGV[1]) then
    open_when_full()
    if begin_plain(id) then
      return given(false)
    end
  end
end
