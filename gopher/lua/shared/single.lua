-- The short way of `fetch`: all there is, in the worker's hands and in the queue, is a plain job whose first attempt is to
-- begin, as when an idle worker has just been given it by BRPOPLPUSH. It stands before all that only the others need: to
-- define a function costs time in each run. Where anything is not so, the long way does it.

local started = string.format('%.0f', now)

-- Begin an attempt of a job in the worker's list. Returns the ms that it has waited.
local function begin_attempt(id, token, attempt, job_type, priority, since)
  redis.call('HSET', P .. 'job:' .. id, 'state', 'processing', 'token', token, 'started', started, 'attempts', attempt)
  count('dequeued:' .. job_type .. ':' .. priority, 1)
  local waited = now - (tonumber(since) or now)
  waited = waited > 0 and waited or 0
  observe('wait', job_type, waited)
  return waited
end

-- What the tokens begin with. Fetches behind a BRPOPLPUSH count for themselves, see `adopt_strays`.
local series = ARGV[1] .. (ARGV[8] == '1' and '.b' or '.')

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
  local given = { id, token, fields[2], fields[3], 1, '', 0, fields[4], {} }
  if ARGV[7] == '1' then
    given[10], given[11] = '', waited
  end
  return given
end

local single = tonumber(ARGV[2]) > 0 and begin_single(ARGV[1])
if single then
  write_counts()
  write_observations()
  return { 'OK', now, 0, single }
end
