-- Let a dead job start over: same id and history, attempts from zero. Returns false if its record is gone or corrupt.
local function revive(id)
  local record = P .. KEY.job .. id
  local priority = read_record(id, 'priority')[1]
  if not priority then
    return false
  end
  redis.call('LPUSH', P .. KEY.pending .. priority, id)
  remove_dead_letter(id)
  redis.call('HSET', record, 'state', STATE.pending, 'since', now, 'attempts', 0)
  redis.call('HDEL', record, 'crashes', 'lost', 'error', 'finished', 'duration', 'token', 'cancel', 'expires', 'due',
    'parked', 'group')
  count(COUNTER.redriven, 1)
  return true
end
