local LOGS_KEPT = 10 -- attempts whose log a record keeps

-- Keep what the last attempt has logged, '' for nothing.
local function keep_log(id, log)
  if log ~= '' then
    local record = P .. 'job:' .. id
    local attempt = redis.call('HGET', record, 'attempts')
    redis.call('HSET', record, 'log:' .. attempt, log)
    redis.call('HDEL', record, 'log:' .. (attempt - LOGS_KEPT))
  end
end

-- Take a job over from the worker if the token is the one it was given out with. Returns
-- OK       and what the end of any job asks for of its record; the caller takes it out of the worker's list
-- ALREADY  this very attempt was settled before: the call is a repeat
-- STALE    the job was given to someone else meanwhile: this result must be dropped
-- MISSING  there is no such record, or it is corrupt: the others of the call go on
local function inherit_limits(worker, id, token)
  -- Whoever adds a child may be of an earlier version, which does not take the word `plain` away.
  local fields = read(id, 'token', 'state', 'type', 'plain', 'children')
  if not (fields[2] and fields[3]) then
    return 'MISSING'
  end
  if fields[1] ~= token then
    return redis.call('HGET', P .. 'job:' .. id, 'settled') == token and 'ALREADY' or 'STALE'
  end
  if fields[2] ~= 'processing' then
    return 'ALREADY'
  end
  if fields[4] and not fields[5] then
    return 'OK', { type = fields[3] }
  end
  local rare = read(id, 'retention', 'cancel', 'unique', 'holds')
  release(id, rare[4])
  if rare[2] then
    -- Its next attempt may be this worker's too.
    redis.call('SREM', P .. 'cancelling:' .. worker, id)
  end
  return 'OK', { type = fields[3], retention = rare[1], cancel = rare[2], unique = rare[3], children = fields[5] }
end

-- Take a job over and out of the worker's list, so that it is in none, and keep its log. Returns as inherit_limits does.
local function settle(worker, id, token, log)
  local answer, job = inherit_limits(worker, id, token)
  if answer == 'OK' then
    redis.call('LREM', P .. 'processing:' .. worker, '-1', id)
    keep_log(id, log)
  end
  return answer, job
end

-- Add a row to what is kept as rows joined by commas: the history's JSON objects, the names of crashes.
local function with_row(history, row)
  if history and history ~= '' then
    return history .. ',' .. row
  end
  return row
end
