-- The short way of `fetch`: an idle worker was just given a job by BRPOPLPUSH, it is the first attempt of a plain one,
-- and nothing else waits or is limited. It stands before all that only the others need: to define a function
-- costs time in each run. Where anything is not so, the long way does it.

-- Return the id of a job that is all there is, in the worker's hands and in the queue.
local function only_one(own)
  local ids = redis.call('LRANGE', own, 0, 1)
  if #ids == 1 and redis.call('EXISTS', P .. 'limited', P .. 'throttled', P .. 'next', P .. 'pending:high', P .. 'pending:normal',
    P .. 'pending:low') == 0 then
    return ids[1]
  end
end

local function begin_single(worker, number)
  local id = only_one(P .. 'processing:' .. worker)
  if not (id and redis.call('ZSCORE', P .. 'workers', worker)) then
    return nil
  end
  local fields = read(id, 'state', 'type', 'priority', 'envelope', 'since', 'attempts', 'expires', 'parents', 'parked')
  if fields[1] ~= 'pending' or fields[6] or fields[7] or fields[8] or fields[9] then
    return nil
  end
  open_when_full()
  local token, waited = string.format('%s.%d', worker, number), math.max(now - (tonumber(fields[5]) or now), 0)
  redis.call('HSET', P .. 'job:' .. id, 'state', 'processing', 'token', token, 'started', now, 'attempts', '1')
  count('dequeued:' .. fields[2] .. ':' .. fields[3], 1)
  observe('wait', fields[2], waited)
  local given = { id, token, fields[2], fields[3], 1, '', 0, fields[4], {} }
  if ARGV[7] == '1' then
    given[10], given[11] = '', waited
  end
  return given
end

local single = tonumber(ARGV[2]) > 0 and begin_single(ARGV[1], tonumber(ARGV[3]))
if single then
  write_counts()
  write_observations()
  return { 'OK', now, 0, single }
end
