-- The short way of `fetch`: all there is, in the worker's hands and in the queue, is a plain job whose first attempt is to
-- begin, as when an idle worker has just been given it by BRPOPLPUSH. It stands before all that only the others need: to
-- define a function costs time in each run. Where anything is not so, the long way does it.

local started = string.format('%.0f', now)

local dequeued = {} -- job type -> priority -> where such ones are counted
local last_since, since_then -- as it was read, and as a number: jobs of one call came together as a rule

local function count_dequeued(job_type, priority)
  local fields = dequeued[job_type]
  if not fields then
    fields = {}
    dequeued[job_type] = fields
  end
  local field = fields[priority] or 'dequeued:' .. job_type .. ':' .. priority
  fields[priority] = field
  count(field, 1)
end

-- Begin an attempt of a job in the worker's list. Returns the ms that it has waited.
local function begin_attempt(id, token, attempt, job_type, priority, since)
  -- As text: it costs to write a number out.
  local attempts = attempt == 1 and '1' or attempt
  redis.call('HSET', P .. 'job:' .. id, 'state', 'processing', 'token', token, 'started', started, 'attempts', attempts)
  count_dequeued(job_type, priority)
  if since ~= last_since then
    last_since, since_then = since, tonumber(since)
  end
  local waited = now - (since_then or now)
  waited = waited > 0 and waited or 0
  observe('wait', job_type, waited)
  return waited
end

-- What the tokens begin with. Fetches behind a BRPOPLPUSH count for themselves, see `adopt_strays`.
local series = ARGV[1] .. (ARGV[8] == '1' and '.b' or '.')

-- What the worker is told. Packed it costs a third of a reply with an element for each field, here and there. Of no text
-- that came with a job is it known what is in it, so those stand apart, one behind the other.
local function given(more, number, rows, sizes, texts)
  return { 'OK', now, more and 1 or 0, number, cmsgpack.pack(rows), cmsgpack.pack(sizes), table.concat(texts) }
end

local function only_one(own)
  local ids = redis.call('LRANGE', own, 0, 1)
  if #ids == 1 and redis.call('EXISTS', P .. 'limited', P .. 'throttled', P .. 'next', P .. 'pending:high', P .. 'pending:normal',
    P .. 'pending:low') == 0 then
    return ids[1]
  end
end

local function begin_single(worker)
  local id = only_one(P .. 'processing:' .. worker)
  if not (id and redis.call('ZSCORE', P .. 'workers', worker)) then
    return nil
  end
  local fields = read(id, 'state', 'type', 'priority', 'envelope', 'since', 'plain', 'attempts')
  if fields[1] ~= 'pending' or not fields[6] or fields[7] then
    return nil
  end
  open_when_full()
  local token = series .. ARGV[3]
  local waited = begin_attempt(id, token, 1, fields[2], fields[3], fields[5])
  local row = { id, token, fields[2], fields[3] }
  if ARGV[7] == '1' then
    row[5], row[6], row[7], row[8] = 1, {}, 0, { '', waited }
  end
  return row, fields[4] or ''
end

if tonumber(ARGV[2]) > 0 then
  local row, envelope = begin_single(ARGV[1])
  if row then
    write_counts()
    write_observations()
    return given(false, ARGV[3] + 1, { row }, { #envelope }, { envelope })
  end
end
