local LOGS_KEPT = 10 -- attempts whose log a record keeps

local function keep_log(record, attempt, log)
  redis.call('HSET', record, 'log:' .. attempt, log)
  redis.call('HDEL', record, 'log:' .. (attempt - LOGS_KEPT))
end

-- Take a job out of the worker's hands if the token is the one it was given out with, and keep what
-- the attempt has logged ('' for nothing). Returns
-- OK       and what the record says of the job; it is in no list now
-- ALREADY  this very attempt was settled before: the call is a repeat
-- STALE    the job was given to someone else meanwhile: this result must be dropped
-- MISSING  there is no such record, or somebody has spoilt it: the others of the call go on
local function settle(worker, id, token, log)
  local record = P .. 'job:' .. id
  local fields = read(id, 'token', 'state', 'settled', 'type', 'priority', 'retention', 'cancel', 'history', 'attempts',
    'unique', 'children', 'holds', 'bucket')
  if not fields[2] then
    return 'MISSING'
  end
  if fields[1] ~= token then
    return fields[3] == token and 'ALREADY' or 'STALE'
  end
  if fields[2] ~= 'processing' then
    return 'ALREADY'
  end
  redis.call('LREM', P .. 'processing:' .. worker, -1, id)
  release(id, fields[12])
  if fields[7] then
    -- Its next attempt may be this worker's too.
    redis.call('SREM', P .. 'cancelling:' .. worker, id)
  end
  if log ~= '' then
    keep_log(record, fields[9], log)
  end
  return 'OK', {
    type = fields[4], priority = fields[5], retention = fields[6], cancel = fields[7], history = fields[8],
    unique = fields[10], children = fields[11], bucket = fields[13],
  }
end

-- Add a row to what is kept as rows joined by commas: the history's JSON objects, the names of crashes.
local function with_row(history, row)
  if history and history ~= '' then
    return history .. ',' .. row
  end
  return row
end
