local LOGS_KEPT = 10 -- attempts whose log a record keeps

-- Keep what the current attempt has logged, '' for nothing.
local function keep_log(id, log)
  if log ~= '' then
    local record = P .. KEY.job .. id
    local attempt = redis.call('HGET', record, 'attempts')
    redis.call('HSET', record, 'log:' .. attempt, log)
    redis.call('HDEL', record, 'log:' .. (attempt - LOGS_KEPT))
  end
end

-- Accept a worker's outcome for a job if the token is that of the job's current attempt. Returns
-- OK       and what ending a job needs of its record; the caller removes it from the worker's list
-- ALREADY  this very attempt was settled before: the call is a repeat
-- STALE    the job was given to another worker meanwhile: this outcome must be dropped
-- MISSING  there is no such record, or it is corrupt: the other jobs of the call are not affected
local function accept_outcome(worker, id, token)
  -- An earlier version adds a child without removing the field `plain`.
  local fields = read_record(id, 'token', 'state', 'type', 'plain', 'children')
  if not (fields[2] and fields[3]) then
    return 'MISSING'
  end
  if fields[1] ~= token then
    return redis.call('HGET', P .. KEY.job .. id, 'settled') == token and 'ALREADY' or 'STALE'
  end
  if fields[2] ~= STATE.processing then
    return 'ALREADY'
  end
  if fields[4] and not fields[5] then
    return 'OK', { type = fields[3], plain = true }
  end
  local extras = read_record(id, 'retention', 'cancel', 'unique', 'holds', 'owner', 'tells', 'tenant_slot')
  free_slot(id, extras[4])
  free_slot(id, extras[7], 'tenant_slot')
  if extras[2] then
    -- Its next attempt may be this worker's too.
    redis.call('SREM', P .. KEY.cancelling .. worker, id)
  end
  return 'OK', {
    type = fields[3], retention = extras[1], cancel = extras[2], unique = extras[3], children = fields[5], owner = extras[5],
    tells = extras[6],
  }
end

-- Accept an outcome, remove the job from the worker's list, so that it is in none, and keep its log. Returns what
-- accept_outcome does.
local function settle(worker, id, token, log)
  local answer, job = accept_outcome(worker, id, token)
  if answer == 'OK' then
    redis.call('LREM', P .. KEY.processing .. worker, '-1', id)
    keep_log(id, log)
  end
  return answer, job
end

-- Settle an attempt that failed: an outcome that is dropped is counted.
local function settle_failure(worker, id, token, log)
  local answer, job = settle(worker, id, token, log)
  if answer == 'STALE' then
    redis.call('HINCRBY', P .. KEY.totals, COUNTER.stale, 1)
  end
  return answer, job
end

-- Add a row to a text of rows joined by commas: the JSON objects of a history, the names of crashes.
local function with_row(rows, row)
  if rows and rows ~= '' then
    return rows .. ',' .. row
  end
  return row
end
